"""A whole bench: on tiny networks, and of the engine that has none."""

from pathlib import Path

import pytest
import torch

from contract.errors import AudioTooShort, BadRequest, NotMedia
from contract.job import JobOptions
from contract.settings import Settings
from tests.worker.engines.musetalk import tiny
from worker.evaluation.bench import core, flops, jobs, matmul, memory, stand_ins
from worker.evaluation.bench.plan import Plan
from worker.evaluation.bench.report import Matmul, Memory
from worker.evaluation.bench.rounds import lay_ground, measure
from worker.weights import registry

DEMO = Path(__file__).parents[4] / "demo"
FRAMES = 3


@pytest.fixture
def settings(weights_folder, tmp_path):
    return Settings(weights=weights_folder, scratch=tmp_path, price_per_hour=3.6)


@pytest.fixture
def tiny_stand_ins(monkeypatch):
    """`--random-weights` writes tiny networks, and this process forgets them at the end."""
    monkeypatch.setattr(stand_ins, "PARTS", tiny.architectures())
    monkeypatch.setattr(core, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(matmul, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(registry, "REGISTRY", registry.REGISTRY)


def plan(engine="musetalk-v15", **others):
    given = {
        "video": DEMO / "portrait.mp4",
        "audio": DEMO / "voice-short.wav",
        "options": JobOptions(engine=engine),
        "seconds": FRAMES / 25,
        "runs": 1,
        "cold_runs": 0,
    }
    return Plan(**{**given, **others})


def silently(*_):
    pass


def test_a_bench_of_musetalk_measures_every_figure(settings, tiny_stand_ins):
    shown = []
    report = measure(
        plan(random_weights=True, batch_sizes=(1, 2), layouts=("throughout",), runs=2, cold_runs=1),
        settings,
        lambda *now: shown.append(now),
    )
    assert (report.engine, report.weights, report.clip.frames) == ("musetalk-v15", "random", FRAMES)
    measured = [(each.layout, each.batch_size) for each in report.core]
    assert measured == [(layout, size) for layout in ("contiguous", "throughout") for size in (1, 2, 4)]
    assert [each for each in report.core if each.is_shipped] == [report.core[2]]
    assert report.shipped_core == report.core[:3]
    assert all(each.fps > 0 and 0 < each.share_of_matmul < 1 for each in report.core)
    new, prepared = report.end_to_end
    assert (new.source, prepared.source) == ("new", "prepared")
    assert (new.latency.runs, prepared.latency.runs) == (2, 2)
    assert "prepare" in new.stages  # of the faster run: what the other one kept was not used
    assert "prepare" not in prepared.stages
    assert new.fps == pytest.approx(FRAMES / new.latency.p50_seconds, rel=1e-2)
    assert new.share_of_core == pytest.approx(new.fps / report.core[2].fps, rel=1e-2)
    assert new.share_of_best == pytest.approx(new.fps / max(each.fps for each in report.core), rel=1e-2)
    assert new.cost_per_output_minute == pytest.approx(60 * 25 / new.fps * 0.001, rel=1e-2)
    assert (
        report.cold.p50_seconds > new.latency.p50_seconds
    )  # it starts Python and loads the networks besides
    assert report.memory.peak_bytes > 50e6
    assert report.notes == ()
    assert ("networks alone, throughout, batches of 2", 1, 3) in shown
    assert list(settings.scratch.iterdir()) == []


def test_the_most_memory_is_a_workers_however_large_the_batches_of_the_networks_alone(
    settings, tiny_stand_ins, monkeypatch
):
    most = [1000]
    measured = matmul.measure

    def greedy(*given):
        most[0] = 10**12
        return measured(*given)

    monkeypatch.setattr(matmul, "measure", greedy)
    monkeypatch.setattr(memory, "peak", lambda on_gpu: Memory(where="ram", peak_bytes=most[0]))
    report = measure(plan(random_weights=True, batch_sizes=(1,)), settings, silently)
    assert most == [10**12]
    assert report.memory.peak_bytes == 1000


def test_a_bench_of_preview_measures_its_jobs_and_says_what_there_is_not(settings):
    report = measure(plan("preview"), settings, silently)
    assert (report.weights, report.core, report.cold) == ("none", (), None)
    assert [each.source for each in report.end_to_end] == ["new"]
    assert "no networks" in report.notes[0]
    assert "no prepared source" in report.notes[1]


def test_where_nothing_may_be_kept_there_is_no_prepared_source(settings, tiny_stand_ins):
    stingy = settings.model_copy(update={"prepared_bytes": 0})
    report = measure(plan(random_weights=True, batch_sizes=(1,)), stingy, silently)
    assert [each.source for each in report.end_to_end] == ["new"]
    assert "DUBLINE_PREPARED_BYTES" in report.notes[0]


def test_preview_has_no_weights_to_be_random(settings):
    with pytest.raises(BadRequest, match="leave out --random-weights"):
        measure(plan("preview", random_weights=True), settings, silently)


def test_no_sound_at_all_is_refused(settings):
    with pytest.raises(AudioTooShort, match="ask for more with --seconds"):
        measure(plan("preview", seconds=1e-6), settings, silently)


def test_an_error_of_a_first_job_in_a_new_process_is_told_as_any_other(settings, tmp_path):
    text = tmp_path / "video.mp4"
    text.write_text("not a video")
    ground = lay_ground(plan("preview", video=text), settings, tmp_path, silently)
    with pytest.raises(NotMedia):
        jobs.cold(ground)


def test_stand_ins_are_right_in_their_own_registry_alone(settings, tmp_path, tiny_stand_ins):
    made = stand_ins.write(tmp_path, "musetalk-v1", settings.weights)
    before = registry.weight("unet-v1")
    made.let_in()
    assert registry.weight("unet-v1").place(tmp_path) == made.files["unet"]
    assert registry.weight("unet-v1").sha256 != before.sha256
    assert registry.weight("face-mesh").place(tmp_path).is_file()


def test_a_batch_too_large_for_the_memory_ends_the_sizes(tmp_path, monkeypatch, tiny_stand_ins):
    networks = load(tmp_path)
    decode = networks.vae.decode

    def narrow(latents):
        if len(latents) > 1:
            raise torch.OutOfMemoryError
        return decode(latents)

    monkeypatch.setattr(networks.vae, "decode", narrow)
    measured = core.measure(networks, (1, 2, 4), Matmul(tflops=1.0, side=1), silently)
    assert [each.batch_size for each in measured] == [1]


def test_the_arithmetic_of_a_frame_is_that_of_the_published_networks():
    from worker.engines.musetalk.architecture import PARTS
    from worker.engines.musetalk.networks import Networks
    from worker.engines.musetalk.unet import FoldedUnet

    found = {part: each.network() for part, each in PARTS.items()}
    unet = FoldedUnet(found["unet"])
    meta = Networks(unet, found["vae"], found["whisper"], torch.device("meta"), torch.float32)
    assert flops.per_frame(meta) == pytest.approx(788, abs=1)  # musetalk.md: 169.6 and 620 with its attention


def load(folder):
    from worker.engines.musetalk.networks import Networks

    return Networks.load(tiny.write(folder), torch.device("cpu"), torch.float32)
