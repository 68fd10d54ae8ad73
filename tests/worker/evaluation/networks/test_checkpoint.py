import pytest
import torch
from torch import nn

from contract.errors import ConfigurationError
from worker.evaluation.networks.checkpoint import filled


def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Dropout())


@pytest.fixture
def save(tmp_path):
    def save(content):
        torch.save(content, tmp_path / "weights.pth")
        return tmp_path / "weights.pth"

    return save


def test_the_network_has_the_files_tensors_and_judges(save):
    wanted = build().state_dict()
    network = filled(build, save(wanted))
    assert not network.training and not any(each.requires_grad for each in network.parameters())
    for name, each in network.state_dict().items():
        assert torch.equal(each, wanted[name])


def test_a_file_of_before_batches_were_counted_fits_too(save):
    tensors = {name: each for name, each in build().state_dict().items() if "num_batches" not in name}
    assert filled(build, save(tensors))(torch.zeros(1, 3, 5, 5)).shape == (1, 4, 3, 3)


def without(tensors):
    tensors.pop("1.bias")


def with_more(tensors):
    tensors["2.weight"] = torch.zeros(1)


def of_other_shape(tensors):
    tensors["0.weight"] = torch.zeros(5, 3, 3, 3)


@pytest.mark.parametrize(
    ("change", "fault"), [(without, "1.bias"), (with_more, "2.weight"), (of_other_shape, "0.weight")]
)
def test_a_file_that_does_not_fit_key_by_key_is_refused_and_says_where(save, change, fault):
    tensors = build().state_dict()
    change(tensors)
    with pytest.raises(ConfigurationError, match=rf"weights\.pth is another network's: .*(\n.*)*{fault}"):
        filled(build, save(tensors))


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], None])
def test_a_file_without_names_is_refused(save, content):
    with pytest.raises(ConfigurationError, match="is another network's"):
        filled(build, save(content))


class Hostile:
    def __reduce__(self):
        return print, ("run",)


def test_a_file_that_would_run_code_is_refused_and_runs_none(save, capsys):
    with pytest.raises(ConfigurationError, match=r"weights\.pth is no file of tensors.*dubline models fetch"):
        filled(build, save({"0.weight": Hostile()}))
    assert capsys.readouterr().out == ""


def test_a_file_cut_short_is_refused(save):
    path = save(build().state_dict())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ConfigurationError, match="is no file of tensors"):
        filled(build, path)
