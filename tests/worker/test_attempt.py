"""An attempt on a real store: what is staged, what is uploaded, what the manifest will say."""

import hashlib
import io
import sys
import wave
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract import keys
from contract.errors import (
    Cancelled,
    ConfigurationError,
    DiskFull,
    EmptyInput,
    InputChanged,
    InputNotFound,
    InputTooLarge,
    NoFace,
    UrlForbidden,
)
from contract.job import Delivery, Job, JobOptions, Row, Source
from contract.manifest import Curves, Findings
from tests.site import HOST, LOOPBACK
from tests.worker.still import KeepingEngine
from worker import attempt, stage
from worker.attempt import Workshop, device, software
from worker.media.writer import EncodedFacts
from worker.progress import JobProgress
from worker.setup import ENGINES, Toolbox
from worker.stage import Inlet, stage_out
from worker.tasks import Ticket

DEMO = Path(__file__).parents[2] / "demo"


@pytest.fixture
def put(storage):
    """Upload bytes as an input and give its source."""

    def upload(body, suffix=".bin"):
        sha256 = hashlib.sha256(body).hexdigest()
        storage.put(keys.uploaded(sha256, suffix), body)
        return Source(uri=f"s3://{storage.bucket}/{keys.uploaded(sha256, suffix)}", sha256=sha256)

    return upload


@pytest.fixture
def inlet(settings, storage):
    return Inlet.of(settings, storage)


def ticket(video, audio, **options):
    row = Row(id="clip", job=Job(video=video, audio=audio, options=JobOptions(**options)))
    return Ticket(Delivery(batch="b", row=row), "attempt", 1, datetime.now(UTC))


def test_an_attempt_uploads_the_video_and_its_curves_and_notes_what_it_found(
    settings, storage, put, weights_folder, tmp_path
):
    settings = settings.model_copy(update={"weights": weights_folder, "scratch": tmp_path})
    workshop = Workshop(settings, storage, Toolbox(settings, storage))
    voice = put((DEMO / "voice-short.wav").read_bytes())
    findings, work = Findings(), ticket(put((DEMO / "portrait.mp4").read_bytes()), voice)
    workshop.perform(work, JobProgress(), findings)

    video = storage.get(findings.output.key)
    assert hashlib.sha256(video).hexdigest() == findings.output.sha256
    assert len(video) == findings.output.bytes
    curves = Curves.model_validate_json(storage.get(findings.sync_check.curves_key))
    assert len(curves.aperture) == len(curves.loudness) == findings.output.frames == 139
    assert findings.audio.sha256 == voice.sha256
    assert findings.video.facts.width == 1280
    assert findings.audio.facts.duration_seconds == pytest.approx(5.56, abs=0.04)
    assert {weight.name for weight in findings.engine.weights} == {"face-detection", "face-mesh"}
    assert {"stage_in", "stream", "sync_check", "stage_out"} <= set(findings.timings)
    assert list(tmp_path.iterdir()) == []  # nothing is left in the scratch folder


def test_a_row_that_asks_for_it_has_its_figures_in_the_manifest(
    settings, storage, put, weights_folder, tmp_path
):
    settings = settings.model_copy(update={"weights": weights_folder, "scratch": tmp_path})
    workshop = Workshop(settings, storage, Toolbox(settings, storage))
    pair = [put((DEMO / name).read_bytes()) for name in ("portrait.mp4", "voice-short.wav")]
    findings, moved = Findings(), []
    progress = JobProgress(on_change=lambda now: moved.append(now.state))
    workshop.perform(ticket(*pair, evaluate=True), progress, findings)
    assert findings.evaluation.sync.verdict == "in sync" and findings.evaluation.frames == 139
    assert findings.evaluation.metrics["lip_correlation"].controls["shuffled"] < 0.5
    assert findings.evaluation.metrics["csim"].status == "unavailable"
    assert moved.index("generating") < moved.index("evaluating") < moved.index("uploading")
    assert "evaluate" in findings.timings and list(tmp_path.iterdir()) == []
    assert Findings.model_validate_json(findings.model_dump_json()) == findings


def test_where_evaluation_cannot_be_had_the_video_is_a_result_all_the_same_with_a_warning(
    settings, storage, put, weights_folder, tmp_path, monkeypatch
):
    settings = settings.model_copy(update={"weights": weights_folder, "scratch": tmp_path})
    workshop = Workshop(settings, storage, Toolbox(settings, storage))
    monkeypatch.setitem(sys.modules, "worker.evaluation.evaluate", None)  # as where it cannot be imported
    pair = [put((DEMO / name).read_bytes()) for name in ("still.jpg", "voice-short.wav")]
    findings = Findings()
    workshop.perform(ticket(*pair, evaluate=True), JobProgress(), findings)
    assert findings.output and findings.evaluation is None
    (warning,) = [each for each in findings.warnings if each.code == "not_evaluated"]
    assert "pip install" in warning.message


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (NoFace("none of the frames shows a usable face"), True),
        (ConfigurationError("the decode process does not start"), False),
        (DiskFull("no space left"), False),
        (Cancelled("a person cancelled the job"), False),
    ],
)
def test_only_a_video_that_cannot_be_measured_goes_without_figures(settings, storage, error, is_told):
    def measured(*_):
        raise error

    workshop, findings = Workshop(settings, storage, Toolbox(settings, storage)), Findings()
    vars(workshop)["_measure"] = measured
    pair, output = (Path("v.mp4"), Path("a.wav")), Path("o.mp4")
    with nullcontext() if is_told else pytest.raises(type(error)):
        workshop._evaluate(pair, output, JobOptions(), JobProgress(), findings)
    assert [each.code for each in findings.warnings] == ["not_evaluated"] * is_told


def test_no_engine_is_set_up_to_measure_what_another_one_made(settings, storage, monkeypatch):
    asked = []
    monkeypatch.setattr(attempt, "measure", lambda _, threads: asked.append(threads))
    workshop = Workshop(settings.model_copy(update={"engine": "musetalk-v15"}), storage, asked.append)
    assert workshop._measure is None
    assert asked == [settings.threads], "its weights may be missing, and it would take the other one's place"


def test_a_job_that_does_not_ask_for_figures_keeps_the_id_that_it_always_had():
    pair = {"video": Source(uri="s3://b/v", etag="1"), "audio": Source(uri="s3://b/a", etag="2")}
    plain = Job(**pair)
    assert (
        plain.id == "fdaa5f3033c3f7ad37075ee8f794719cb068252efaa33db7ad4be8b2d3835e63"
        and "evaluate" not in plain.model_dump_json()
    )
    assert Job(**pair, options=JobOptions(evaluate=True)).id != plain.id


def test_a_failed_attempt_notes_its_inputs_and_leaves_the_scratch_folder_empty(
    settings, storage, put, weights_folder, tmp_path
):
    settings = settings.model_copy(update={"weights": weights_folder, "scratch": tmp_path})
    workshop = Workshop(settings, storage, Toolbox(settings, storage))
    findings = Findings()
    work = ticket(put(b"text, not video"), put((DEMO / "voice-short.wav").read_bytes()))
    with pytest.raises(Exception, match="media"):
        workshop.perform(work, JobProgress(), findings)
    assert findings.video.bytes == len(b"text, not video")
    assert "stage_in" in findings.timings
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_folder_that_cannot_be_made_is_the_worker_s_fault_and_not_the_job_s(
    settings, storage, put, tmp_path
):
    (tmp_path / "file").write_bytes(b"")
    settings = settings.model_copy(update={"scratch": tmp_path / "file" / "scratch"})
    workshop = Workshop(settings, storage, Toolbox(settings, storage))
    with pytest.raises(ConfigurationError, match="DUBLINE_SCRATCH"):
        workshop.perform(ticket(put(b"video"), put(b"audio")), JobProgress(), Findings())


def test_bytes_on_their_way_in_and_out_are_progress(storage, inlet, put, tmp_path):
    class Told(JobProgress):
        touched = 0

        def touch(self):
            self.touched += 1

    coming, going = Told(), Told()
    inlet.stage_in(Job(video=put(b"video"), audio=put(b"audio")), tmp_path, coming)
    assert coming.touched == 2
    made = b"made" * 100_000
    (tmp_path / "video.mp4").write_bytes(made)
    encoded = EncodedFacts(1, len(made), hashlib.sha256(made).hexdigest(), 2, 2, 0.04)
    stage_out(
        storage, "job", "a", tmp_path / "video.mp4", encoded, Curves(fps=25, aperture=(), loudness=()), going
    )
    assert going.touched > 2


def test_inputs_that_are_missing_empty_or_changed_are_told_apart(storage, inlet, put, tmp_path):
    good = put(b"content")
    missing = Source(uri=f"s3://{storage.bucket}/inputs/none.mp4")
    empty = put(b"")
    swapped = good.model_copy(update={"sha256": "0" * 64})
    for source, error in ((missing, InputNotFound), (empty, EmptyInput), (swapped, InputChanged)):
        with pytest.raises(error):
            inlet.stage_in(Job(video=source, audio=good), tmp_path, JobProgress())


def test_one_file_that_is_video_and_audio_is_staged_once(inlet, put, tmp_path):
    source = put(b"content")
    video, audio = inlet.stage_in(Job(video=source, audio=source), tmp_path, JobProgress())
    assert video == audio
    assert [path.name for path in tmp_path.iterdir()] == ["video"]


# From a URL


@pytest.fixture
def far(inlet, site):
    """An inlet that reaches the site."""
    return replace(inlet, outside=site.outside)


def test_a_url_is_staged_like_an_object_and_its_query_is_told_to_nobody(far, site, put, tmp_path):
    site.answers["/v.mp4"] = b"video" * 100_000
    source = Source(uri=site.url("/v.mp4?sig=hunter2"))

    class Told(JobProgress):
        touched = 0

        def touch(self):
            self.touched += 1

    coming = Told()
    video, audio = far.stage_in(Job(video=source, audio=put(b"audio")), tmp_path, coming)
    assert video.path.read_bytes() == b"video" * 100_000
    assert video.record.sha256 == hashlib.sha256(b"video" * 100_000).hexdigest()
    assert (video.record.uri, video.record.etag) == (site.url("/v.mp4"), None)
    assert audio.record.bytes == 5
    assert coming.touched > 2
    assert [each.path for each in site.asked] == ["/v.mp4?sig=hunter2"]


def test_what_is_wrong_with_a_url_is_told_apart_and_never_with_its_query(far, site, put, tmp_path):
    site.answers |= {"/empty": b"", "/large": b"x" * 1001}
    far = replace(far, max_bytes=1000)
    for path, error in (("/none", InputNotFound), ("/empty", EmptyInput), ("/large", InputTooLarge)):
        with pytest.raises(error) as caught:
            source = Source(uri=site.url(f"{path}?sig=hunter2"))
            far.stage_in(Job(video=source, audio=put(b"audio")), tmp_path, JobProgress())
        assert "hunter2" not in str(caught.value)
        assert path in str(caught.value)


def test_a_worker_as_it_is_set_up_reaches_nothing_inside(inlet, site, put, tmp_path):
    for uri in (f"https://{HOST}/v", site.url("/v"), f"https://{LOOPBACK}/v", f"http://{HOST}/v"):
        with pytest.raises(UrlForbidden):
            inlet.stage_in(Job(video=Source(uri=uri), audio=put(b"audio")), tmp_path, JobProgress())
    assert site.connections == 0


def test_a_video_from_a_url_is_the_same_bytes_as_from_the_store(
    settings, storage, put, site, weights_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(stage, "Outside", lambda _: site.outside)
    settings = settings.model_copy(
        update={"weights": weights_folder, "scratch": tmp_path, "prepared_bytes": 0}
    )
    workshop = Workshop(settings, storage, Toolbox(settings, storage))
    face, sound = (DEMO / "still.jpg").read_bytes(), voice(1.0)
    site.answers |= {"/face": face, "/voice": sound}
    stored, fetched = Findings(), Findings()
    workshop.perform(ticket(put(face), put(sound)), JobProgress(), stored)
    far = [Source(uri=site.url(f"{path}?sig=1")) for path in ("/face", "/voice")]
    workshop.perform(ticket(*far), JobProgress(), fetched)
    assert fetched.output.sha256 == stored.output.sha256
    assert fetched.video.uri == site.url("/face")


# One face with many voices


def voice(seconds):
    """The beginning of the demo's voice."""
    whole = io.BytesIO()
    with wave.open(str(DEMO / "voice-short.wav")) as long, wave.open(whole, "wb") as short:
        short.setparams(long.getparams())
        short.writeframes(long.readframes(round(seconds * long.getframerate())))
    return whole.getvalue()


@pytest.fixture
def keeping(settings, storage, weights_folder, tmp_path, monkeypatch):
    """A workshop of a machine of that name, and the engine of it that counts."""

    def workshop(machine, **others):
        engine = KeepingEngine()
        monkeypatch.setitem(ENGINES, "preview", lambda *_: engine)
        here = {"weights": weights_folder, "scratch": tmp_path / "scratch", "prepared": tmp_path / machine}
        mine = settings.model_copy(update=here | others)
        tools = Toolbox(mine, storage)
        tools("preview")
        return Workshop(mine, storage, tools), engine

    return workshop


def performed(workshop, storage, video, audio, **options):
    findings = Findings()
    workshop.perform(ticket(video, audio, **options), JobProgress(), findings)
    return findings, storage.get(findings.output.key)


def test_a_face_with_many_voices_is_prepared_once_and_its_videos_are_the_same_bytes(keeping, storage, put):
    """The source part has 20 frames; the voices ask for 10, 30 (it bounces) and 25 of them."""
    video, part = put((DEMO / "portrait.mp4").read_bytes()), {"start": 0.4, "end": 1.2}
    voices = [put(voice(seconds)) for seconds in (0.4, 1.2, 1.0)]
    workshop, engine = keeping("one")
    done = [performed(workshop, storage, video, each, **part) for each in voices]
    counts = [(each.frames.prepared, each.frames.reused) for each, _ in done]
    assert counts == [(10, 0), (10, 10), (0, 20)]
    assert sum(engine.prepared) == 20
    assert ["track" in each.timings for each, _ in done] == [True, True, False]
    forgetful, _ = keeping("none", prepared_bytes=0)
    for each, (_, made) in zip(voices, done, strict=True):
        findings, made_alone = performed(forgetful, storage, video, each, **part)
        assert made_alone == made
        assert findings.frames.prepared >= 10 and findings.frames.reused == 0


def test_another_machine_prepares_nothing_and_another_release_of_the_engine_everything(keeping, storage, put):
    video, sound = put((DEMO / "portrait.mp4").read_bytes()), put(voice(0.4))
    _, made = performed(keeping("one")[0], storage, video, sound)
    workshop, engine = keeping("two")
    assert performed(workshop, storage, video, sound)[1] == made
    assert engine.prepared == []
    engine.version = "2"
    assert performed(workshop, storage, video, sound)[1] == made
    assert sum(engine.prepared) == 10


def test_two_workers_at_once_prepare_one_source_and_make_the_same_video(keeping, storage, put):
    video, sound = put((DEMO / "portrait.mp4").read_bytes()), put(voice(0.8))
    workshops = [keeping("shared")[0], keeping("shared")[0], keeping("another")[0]]
    with ThreadPoolExecutor(3) as threads:
        jobs = [threads.submit(performed, each, storage, video, sound) for each in workshops]
        first, *others = [each.result()[1] for each in jobs]
    assert others == [first, first]


def test_a_still_is_prepared_once_for_all(keeping, storage, put):
    workshop, engine = keeping("one")
    still = put((DEMO / "still.jpg").read_bytes())
    for seconds in (0.4, 1.2):
        findings, _ = performed(workshop, storage, still, put(voice(seconds)))
        assert findings.frames.with_face == findings.frames.total == seconds * 25
    assert engine.prepared == [1]


def test_a_shelf_that_cannot_be_used_fails_no_job_and_the_manifest_says_where_it_ran(
    keeping, storage, put, tmp_path, caplog
):
    (tmp_path / "file").touch()
    workshop, engine = keeping("file")
    findings, _ = performed(workshop, storage, put((DEMO / "still.jpg").read_bytes()), put(voice(0.4)))
    assert (findings.frames.prepared, findings.frames.reused) == (1, 0)
    assert "no prepared frames are kept" in caplog.text
    assert findings.device == engine.device == "a test's own"
    assert device().startswith("cpu ")
    assert {"python", "dubline", "av", "numpy"} <= set(findings.software)


def test_optional_libraries_are_named_only_where_they_were_imported(monkeypatch):
    import sys

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setitem(sys.modules, "uniface", sys)
    assert "torch" not in software()
    assert "uniface" in software()
