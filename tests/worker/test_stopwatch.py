import time

from worker.stopwatch import Stopwatch


def test_a_stage_that_pauses_lasts_from_its_first_beginning_to_its_last_end():
    watch, before = Stopwatch(), time.time_ns()
    with watch.stage("generate"):
        time.sleep(0.02)
    with watch.stage("blend"):
        time.sleep(0.05)
    with watch.stage("generate"):
        time.sleep(0.02)
    generate, blend = watch.spells()
    assert [generate.stage, blend.stage] == ["generate", "blend"]
    assert before <= generate.began_ns < blend.began_ns < blend.ended_ns < generate.ended_ns <= time.time_ns()
    assert 0.04 <= generate.seconds < (generate.ended_ns - generate.began_ns) / 1e9
