import hashlib
import socket

import pytest
import torch
from torch import nn

from contract.errors import ConfigurationError
from worker.evaluation.networks.loading import filled, judging
from worker.weights import Url, Weight, registry


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a network is asked for")

    monkeypatch.setattr(socket, "socket", refuse)


@pytest.fixture
def keep(tmp_path, monkeypatch):
    """Writes a state as the registry's weights "tiny"; without a state there is only the entry."""

    def keep(state=None):
        place = tmp_path / "tiny-1" / "tiny.pth"
        place.parent.mkdir(exist_ok=True)
        torch.save(state or {}, place)
        content = place.read_bytes()
        source = Url("http://nowhere.invalid/tiny.pth")
        entry = Weight("tiny", "tiny-1", source, hashlib.sha256(content).hexdigest(), len(content), "none")
        monkeypatch.setattr(registry, "REGISTRY", (entry,))
        if state is None:
            place.unlink()
        return place

    return keep


def network():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def test_a_network_gets_the_files_tensors_and_judges(keep, tmp_path):
    state = network().state_dict()
    keep(state)
    found = filled(network(), "tiny", tmp_path)
    assert torch.equal(found[0].weight.cpu(), state["0.weight"])
    assert not found.training and not any(each.requires_grad for each in found.parameters())


def test_a_file_of_a_torch_that_did_not_count_batches_fits(keep, tmp_path):
    state = {name: each for name, each in network().state_dict().items() if "num_batches" not in name}
    keep(state)
    assert torch.equal(filled(network(), "tiny", tmp_path)[1].weight.cpu(), state["1.weight"])


@pytest.mark.parametrize(
    "state",
    [
        {},
        {**network().state_dict(), "more.weight": torch.ones(1)},
        {**network().state_dict(), "0.weight": torch.ones(3, 4)},
        [1.0],
    ],
    ids=["lacks all", "has more", "has another shape", "is no state"],
)
def test_tensors_that_do_not_fit_are_refused(keep, tmp_path, state):
    keep(state or {"other": torch.ones(1)})
    with pytest.raises(ConfigurationError, match="does not hold the tensors of Sequential"):
        filled(network(), "tiny", tmp_path)


def test_a_missing_file_is_told_with_the_command_that_brings_it(keep, tmp_path):
    keep()
    with pytest.raises(ConfigurationError, match="dubline models fetch tiny"):
        filled(network(), "tiny", tmp_path)


def test_another_file_is_never_read(keep, tmp_path):
    keep(network().state_dict()).write_bytes(b"not these weights")
    with pytest.raises(ConfigurationError, match="is not the file of weights tiny"):
        filled(network(), "tiny", tmp_path)


def test_code_in_a_file_does_not_run(keep, tmp_path):
    keep({"0.weight": nn.Linear(1, 1)})
    with pytest.raises(Exception, match="Weights only load failed"):
        filled(network(), "tiny", tmp_path)


def test_judging_keeps_no_gradients_and_leaves_the_settings_as_they_were():
    before = torch.backends.cudnn.allow_tf32
    with judging():
        assert torch.is_inference_mode_enabled() and not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before and not torch.is_inference_mode_enabled()
