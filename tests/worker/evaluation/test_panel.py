"""Which metrics this machine can measure with, and what the others want."""

import sys

import pytest

from worker.evaluation.metrics.quantities import GROUPS
from worker.evaluation.panel import Panel


@pytest.fixture
def panel(tmp_path):
    """Of some groups, by their modules' names."""
    return lambda *names: Panel.load(tmp_path, 1, [each for each in GROUPS if each.module in names])


def test_a_metric_whose_library_is_not_installed_names_the_extra_that_brings_it_and_no_other(
    panel, monkeypatch
):
    monkeypatch.delitem(sys.modules, "worker.evaluation.metrics.mouth", raising=False)
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)  # as where it cannot be imported
    found = panel("mouth", "sharpness")
    assert list(found.metrics) == ["sharpness"]
    assert set(found.missing) == {"mouth_psnr", "mouth_ssim"}
    assert "pip install 'dubline[evaluation]'" in found.missing["mouth_psnr"]


def test_a_metric_without_its_weights_names_them_all_and_one_command(panel):
    reason = panel("lpips").missing["lpips_mouth"]
    assert "alexnet, lpips-alex" in reason and "run `dubline models fetch lpips`" in reason


def test_a_figure_names_the_weights_of_its_metric_and_of_no_other(panel):
    assert panel("sharpness").weights("sharpness_ratio") == panel("sharpness").weights("lse_c") == ()
