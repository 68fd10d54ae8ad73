import pytest

from worker.evaluation.bench.report import Clip, Core, EndToEnd, Machine, Matmul, Memory, Report, Spread


@pytest.fixture
def figures():
    """A report as a bench on a GPU would write it."""
    core = [(1, 10.0, 0.05), (2, 20.0, 0.1), (4, 38.0, 0.2), (8, 60.0, 0.31)]
    return Report(
        dubline="0.1.0",
        engine="musetalk-v15",
        weights="random",
        machine=Machine(device="Card <8 & 16>", dtype="float16", cores=8, python="3.11.7", torch="2.13.0"),
        clip=Clip(video="a.mp4", audio="a.wav", width=1920, height=1080, frames=250),
        gflop_per_frame=788.0,
        matmul=Matmul(tflops=158.0, side=8192),
        core=tuple(
            Core(layout="throughout", batch_size=b, is_shipped=b == 4, fps=fps, share_of_matmul=share)
            for b, fps, share in core
        ),
        cold=Spread(runs=1, p50_seconds=31.5, p95_seconds=31.5),
        end_to_end=(_jobs("new", 30.0), _jobs("prepared", 55.0)),
        memory=Memory(where="gpu", peak_bytes=9 * 2**30, device_bytes=10 * 2**30),
        price_per_hour=1.006,
        currency="USD",
        notes=("a note",),
    )


def _jobs(source, fps):
    latency = Spread(runs=3, p50_seconds=250 / fps, p95_seconds=250 / fps)
    return EndToEnd(
        source=source,
        fps=fps,
        share_of_core=fps / 38,
        share_of_best=fps / 60,
        latency=latency,
        cost_per_output_minute=0.01,
        stages={},
    )
