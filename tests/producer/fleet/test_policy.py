"""How many workers there should be, and which of them go: by table."""

import pytest

from producer.fleet.policy import Load, Member, Rules, decide, done_in_seconds, wanted_workers

RULES = Rules(minimum=0, maximum=8, within_seconds=900, idle_seconds=300, patience_seconds=60)
LONG_AGO = float("inf")


def rules(**changed):
    return Rules(**{**vars(RULES), **changed})


def load(jobs, seconds=60.0, oldest=None, others=0):
    return Load(jobs=jobs, oldest_seconds=oldest, seconds_per_job=seconds, others=others)


def members(**counts):
    """So many of each state; `idle_400=2`: two that have been idle for 400 s."""
    made = []
    for what, count in counts.items():
        state, _, since = what.partition("_")
        made += [Member(f"{what}-{each}", state, float(since or 0)) for each in range(count)]
    return made


@pytest.mark.parametrize(
    ("jobs", "seconds", "limits", "wanted"),
    [
        (0, 60, {}, 0),
        (0, 60, {"minimum": 2}, 2),
        (1, 1, {}, 1),
        (15, 60, {}, 1),
        (16, 60, {}, 2),
        (100, 60, {}, 7),
        (1000, 60, {}, 8),
        (1000, 60, {"maximum": 0}, 0),
        (2, 7200, {}, 2),
        (100, 60, {"within_seconds": 3000}, 2),
        (100, 60, {"minimum": 8}, 8),
    ],
)
def test_so_many_workers_do_it_within_the_time(jobs, seconds, limits, wanted):
    assert wanted_workers(rules(**limits), load(jobs, seconds)) == wanted


@pytest.mark.parametrize(("others", "wanted"), [(0, 7), (3, 4), (7, 0), (9, 0)])
def test_what_others_do_is_not_done_twice(others, wanted):
    assert wanted_workers(RULES, load(100, others=others)) == wanted


@pytest.mark.parametrize(
    ("there", "jobs", "free", "start"),
    [
        ({}, 0, 4, 0),
        ({}, 1, 4, 1),
        ({}, 100, 4, 4),
        ({}, 100, 9, 7),
        ({"starting": 7}, 100, 4, 0),
        ({"starting": 2, "busy": 1, "idle": 1}, 100, 4, 3),
        ({"leaving": 4}, 1, 4, 1),
        ({}, 1, 0, 0),
    ],
)
def test_workers_that_are_missing_are_started_where_slots_are_free(there, jobs, free, start):
    decision = decide(RULES, load(jobs), members(**there), free, LONG_AGO)
    assert (decision.start, decision.drain) == (start, ())


@pytest.mark.parametrize(
    ("there", "oldest", "since_start", "start"),
    [
        ({"busy": 1}, 61, LONG_AGO, 1),
        ({"busy": 1}, 59, LONG_AGO, 0),
        ({"busy": 1}, None, LONG_AGO, 0),
        ({"busy": 1}, 61, 59, 0),
        ({"busy": 1}, 61, 60, 1),
        ({"busy": 1, "starting": 1}, 61, LONG_AGO, 0),
        ({"busy": 1, "idle": 1}, 61, LONG_AGO, 0),
        ({"busy": 8}, 61, LONG_AGO, 0),
        ({"busy": 1, "leaving": 1}, 61, LONG_AGO, 1),
    ],
)
def test_one_more_comes_when_a_job_has_waited_too_long_and_nobody_will_take_it(
    there, oldest, since_start, start
):
    assert decide(RULES, load(10, 1, oldest), members(**there), 4, since_start).start == start


def test_there_are_never_more_workers_than_jobs_however_long_they_wait():
    assert decide(RULES, load(2, 1, 999), members(busy=2), 4, LONG_AGO).start == 0
    assert decide(RULES, load(2, 1, 999, others=1), members(busy=1), 4, LONG_AGO).start == 0


@pytest.mark.parametrize(
    ("there", "jobs", "limits", "drained"),
    [
        ({"idle_299": 2}, 0, {}, []),
        ({"idle_300": 2}, 0, {}, ["idle_300-0", "idle_300-1"]),
        ({"idle_300": 2}, 0, {"minimum": 2}, []),
        ({"idle_300": 1, "idle_400": 1}, 0, {"minimum": 1}, ["idle_400-0"]),
        ({"busy_900": 3, "idle_10": 1}, 0, {}, []),
        ({"busy_900": 3, "idle_400": 1}, 3, {}, ["idle_400-0"]),
        ({"idle_400": 3}, 3, {}, ["idle_400-0", "idle_400-1"]),
        ({"starting_900": 2}, 0, {}, []),
        ({"leaving_900": 2}, 0, {}, []),
    ],
)
def test_only_workers_that_were_idle_for_long_go_and_no_more_than_are_too_many(there, jobs, limits, drained):
    decision = decide(rules(**limits), load(jobs), members(**there), 4, LONG_AGO)
    assert (decision.start, list(decision.drain)) == (0, drained)


def test_beyond_the_maximum_those_that_are_missed_least_go_at_once():
    there = members(busy_500=1, busy_5=1, idle_1=1, starting=1)
    assert decide(rules(maximum=2), load(100), there, 4, LONG_AGO).drain == ("starting-0", "idle_1-0")
    assert decide(rules(maximum=1), load(100), there, 4, LONG_AGO).drain[2:] == ("busy_5-0",)
    assert len(decide(rules(maximum=0), load(100), there, 4, LONG_AGO).drain) == 4


def test_a_fleet_does_not_flap():
    """Jobs come and go around the edge for an hour: who was started stays, until the end of it."""
    there, changes, idle_since = 0, [], 0
    for second in range(0, 3600, 2):
        jobs = 16 if second % 60 < 30 else 15
        busy = members(busy=there)
        decision = decide(RULES, load(jobs), busy, 8 - there, second - idle_since)
        there += decision.start - len(decision.drain)
        changes += [decision] if decision.start or decision.drain else []
    assert (there, len(changes)) == (2, 1)


@pytest.mark.parametrize(("jobs", "workers", "seconds"), [(0, 0, 0), (0, 3, 0), (10, 0, None), (10, 4, 150)])
def test_all_is_done_when_those_who_are_there_have_done_it(jobs, workers, seconds):
    assert done_in_seconds(load(jobs), workers) == seconds
