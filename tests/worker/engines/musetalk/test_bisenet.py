import sys
from pathlib import Path

import numpy as np
import pytest

from contract.errors import ConfigurationError, EngineFailed
from tests.worker.engines.musetalk import onnx_file
from worker.engines.musetalk import crop
from worker.engines.musetalk.bisenet import FaceParsing
from worker.media.frame import Box

GOLDEN = Path(__file__).parent / "golden_faces.npz"


def network(path, side=512, classes=19, batch=1):
    """Class 1 is red, 2 green, 3 blue, 0 dark; all others never."""
    kernel, bias = np.zeros((classes, 3, 1, 1)), np.full(classes, -9.0)
    kernel[1:4, :, 0, 0] = np.eye(3) - 0.4
    bias[:4] = 1, 0, 0, 0
    return onnx_file.write(
        path,
        [onnx_file.node("Conv", ["image", "kernel", "bias"], "classes", kernel_shape=[1, 1])],
        {"kernel": kernel, "bias": bias},
        {"image": (batch, 3, side, side)},
        {"classes": (batch, classes, side, side)},
    )


@pytest.fixture(scope="module")
def parsing(tmp_path_factory):
    return FaceParsing(network(tmp_path_factory.mktemp("onnx") / "parsing.onnx"))


def test_a_crop_of_any_size_gives_a_map_of_512(parsing):
    picture = np.zeros((90, 60, 3), np.uint8)
    picture[:45, :30] = 250, 0, 0
    picture[:45, 30:] = 0, 250, 0
    picture[45:, :30] = 0, 0, 250
    labels = parsing.labels(picture)
    assert labels.shape == (512, 512)
    assert labels.dtype == np.uint8
    found = [labels[128, 128], labels[128, 384], labels[384, 128], labels[384, 384]]
    assert found == [1, 2, 3, 0]  # colours are RGB


def test_the_network_is_given_what_upstreams_is(parsing, monkeypatch):
    """Seen at the library's own last step before the network."""
    with np.load(GOLDEN) as golden:
        around, box, wanted = golden["blend_around"], golden["blend_box"], golden["parsing_input"]
    square = crop.expanded(Box(*(int(each) for each in box)))
    given = []
    prepare = parsing._parser.preprocess
    monkeypatch.setattr(parsing._parser, "preprocess", lambda image: given.append(prepare(image)) or given[0])
    parsing.labels(crop.cut(around, Box(270, 170, 372, 282), square))
    np.testing.assert_allclose(given[0][0][:, ::16, ::16], wanted, atol=1e-6)


def test_the_library_never_looks_for_weights_of_its_own(parsing, tmp_path, monkeypatch):
    monkeypatch.setenv("UNIFACE_CACHE_DIR", str(tmp_path / "cache"))
    FaceParsing(network(tmp_path / "parsing.onnx"))
    assert not (tmp_path / "cache").exists()


def test_the_threads_are_counted(tmp_path):
    options = FaceParsing(network(tmp_path / "parsing.onnx"), 2)._parser.session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)


def test_a_file_that_is_no_network_is_refused_by_name(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(network(tmp_path / "whole.onnx").read_bytes()[:100])
    with pytest.raises(ConfigurationError, match=r"broken\.onnx.*`dubline models fetch`"):
        FaceParsing(broken)
    with pytest.raises(ConfigurationError, match=r"nowhere\.onnx"):
        FaceParsing(tmp_path / "nowhere.onnx")


@pytest.mark.parametrize(("side", "classes"), [(256, 19), (512, 11)])
def test_another_network_is_refused_by_name(tmp_path, side, classes):
    with pytest.raises(ConfigurationError, match=r"other\.onnx is another network: .*19, 512, 512"):
        FaceParsing(network(tmp_path / "other.onnx", side, classes))


def test_a_size_that_the_file_leaves_open_fits(tmp_path):
    parsing = FaceParsing(network(tmp_path / "open.onnx", batch="batch"))
    assert parsing.labels(np.full((20, 20, 3), (250, 0, 0), np.uint8))[256, 256] == 1


def test_a_network_that_fails_is_the_engines_failure(tmp_path):
    parsing = FaceParsing(network(tmp_path / "parsing.onnx"))
    parsing._parser.input_name = "another"
    with pytest.raises(EngineFailed, match="face parsing failed"):
        parsing.labels(np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize("library", ["uniface.parsing", "onnxruntime"])
def test_without_the_extra_the_remedy_is_named(tmp_path, monkeypatch, library):
    path = network(tmp_path / "parsing.onnx")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigurationError, match=r"pip install 'dubline\[upstream\]'"):
        FaceParsing(path)
