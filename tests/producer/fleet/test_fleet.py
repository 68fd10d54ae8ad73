"""A fleet on hosts of the tests' own: who is started, who goes, and that nobody goes with a job at hand."""

from dataclasses import dataclass, field, replace

import pytest

from contract.errors import BrokerUnavailable, ConfigurationError, HostUnavailable
from contract.workers import Worker
from producer.fleet.crashes import Crashes
from producer.fleet.draining import SILENT_SECONDS, Draining
from producer.fleet.fleet import Fleet, Services
from producer.fleet.host import Order, slots_of
from producer.fleet.policy import Load, Rules
from tests.producer.fleet.fakes import FakeControl, FakeHost

ORDER = Order(image="worker", fleet="test", environment={})
RULES = Rules(minimum=0, maximum=8, within_seconds=60, idle_seconds=300, patience_seconds=60)


@dataclass
class Bench:
    """A fleet, and a hand in the place of all it asks."""

    hosts: list
    gpus: int = 2
    rules: Rules = RULES
    jobs: int = 0
    time: float = 0.0
    roster: dict = field(default_factory=dict)
    control: FakeControl = field(default_factory=FakeControl)

    def __post_init__(self):
        self.begin_anew()

    def begin_anew(self):
        """Another process takes over: it knows nothing."""
        slots = [each for host in self.hosts for each in slots_of(host.name, self.gpus, 2)]
        services = Services(self, self, Draining(self.control, lambda: self.time), Crashes(lambda: self.time))
        self.fleet = Fleet(self.hosts, slots, ORDER, self.rules, services)

    def workers(self):
        return list(self.roster.values())

    def look(self, others=0):
        return Load(jobs=self.jobs, oldest_seconds=None, seconds_per_job=60, others=others)

    def all_are(self, doing, since=0.0):
        """All containers have a worker on the roster that does this."""
        names = [node for host in self.hosts for node in host.nodes]
        self.roster = {name: Worker(name, doing=doing, since_seconds=since) for name in names}

    def step(self):
        """What has changed in one look."""
        return [(each.what, each.slot) for each in self.fleet.step().changes]


@pytest.fixture
def here():
    return FakeHost("here")


@pytest.fixture
def bench(here):
    return Bench([here])


def test_each_gpu_has_one_worker_and_no_more_are_started_than_slots(bench, here):
    bench.jobs = 100
    assert bench.step() == [("started", "gpu0"), ("started", "gpu1")]
    assert bench.step() == []
    bench.all_are("busy")
    assert bench.step() == []
    assert sorted(here.started) == ["gpu0", "gpu1"]


def test_workers_are_spread_over_hosts():
    bench = Bench([FakeHost("a"), FakeHost("b")], jobs=2)
    bench.step()
    assert [each.started for each in bench.hosts] == [["gpu0"], ["gpu0"]]
    bench.jobs = 3
    bench.step()
    assert [len(each.started) for each in bench.hosts] == [2, 1]


def test_a_gpu_that_somebody_else_uses_is_not_free(bench, here):
    bench.jobs, here.taken = 100, frozenset({0})
    assert bench.step() == [("started", "gpu1")]


def test_another_process_finds_the_workers_again(bench, here):
    bench.jobs = 100
    bench.step()
    bench.begin_anew()
    assert bench.step() == []
    assert len(here.started) == 2


def test_an_idle_worker_goes_by_steps_and_its_slot_is_free_again(bench, here):
    bench.jobs = 1
    bench.step()
    bench.jobs = 0
    (name,) = here.nodes
    bench.all_are("idle", 300)
    assert bench.step() == [("draining", "gpu0")]
    assert bench.control.told == {name} and here.stopped == []
    assert bench.step() == [("stopped", "gpu0")]
    assert here.stopped == [name]
    bench.roster, bench.jobs = {}, 1
    assert bench.step() == [("started", "gpu0")]


def test_a_drained_worker_that_has_a_job_is_left_to_end_it(bench, here):
    bench.jobs = 1
    bench.step()
    (name,) = here.nodes
    bench.all_are("busy", 40)
    bench.fleet.dismiss()
    assert bench.step() == [("draining", "gpu0")]
    for _ in range(5):
        assert bench.step() == []
    bench.all_are("idle", 0.5)
    assert bench.step() == [], "it has been idle for less than two looks"
    bench.all_are("idle", 3)
    bench.control.holding[name] = 1
    assert bench.step() == [], "the roster says idle, the worker itself that it holds a message"
    bench.control.holding.clear()
    assert not bench.fleet.is_over
    assert bench.step() == [("stopped", "gpu0")]
    assert bench.fleet.is_over


def test_a_worker_that_is_on_the_roster_and_does_not_answer_is_not_stopped(bench, here):
    bench.jobs = 1
    bench.step()
    bench.all_are("idle", 400)
    bench.control.deaf = set(here.nodes)
    bench.fleet.dismiss()
    assert [bench.step() for _ in range(3)] == [[("draining", "gpu0")], [], []]
    assert here.stopped == []
    bench.control.deaf = set()
    assert bench.step() == [("stopped", "gpu0")]


def test_a_worker_that_cannot_be_marked_is_not_told_either_and_takes_jobs_on(bench, here, monkeypatch):
    bench.jobs = 1
    bench.step()
    bench.all_are("idle", 400)
    bench.jobs = 0

    def hangs(_):
        raise HostUnavailable("the container engine of here does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(here, "mark_draining", hangs)
        assert bench.step() == [("away", None)]
    assert bench.control.told == set()
    bench.jobs = 1
    assert [bench.step(), bench.step()] == [[("back", None)], []]


def test_a_worker_that_was_told_and_then_does_not_answer_is_not_stopped(bench, here):
    bench.jobs = 1
    bench.step()
    bench.all_are("idle", 400)
    bench.fleet.dismiss()
    bench.step()
    bench.control.deaf = set(here.nodes)
    assert [bench.step() for _ in range(3)] == [[], [], []]
    assert here.stopped == []


def test_a_worker_that_is_still_starting_goes_as_soon_as_it_can_be_told(bench, here):
    bench.jobs = 1
    bench.step()
    bench.control.deaf = set(here.nodes)
    bench.fleet.dismiss()
    assert bench.step() == [("draining", "gpu0")]
    assert bench.step() == []
    bench.control.deaf = set()
    assert bench.step() == [("stopped", "gpu0")]


def test_a_worker_that_is_neither_there_nor_answers_for_long_is_stopped(bench, here):
    bench.jobs = 1
    bench.step()
    bench.control.deaf = set(here.nodes)
    bench.fleet.dismiss()
    bench.step()
    for _ in range(2):
        assert bench.step() == []
        bench.time += SILENT_SECONDS / 2
    assert bench.step() == [("stopped", "gpu0")]


def test_a_busy_worker_is_not_stopped_when_redis_forgets_the_roster_and_it_has_to_come_back(bench, here):
    bench.jobs = 1
    bench.step()
    bench.all_are("busy", 40)
    bench.fleet.dismiss()
    bench.step()
    there, bench.roster, bench.control.deaf = bench.roster, {}, set(here.nodes)
    bench.control.holding = dict.fromkeys(here.nodes, 1)
    for _ in range(2):
        bench.control.deaf, bench.roster = set(here.nodes), {}
        assert bench.step() == []
        bench.time += SILENT_SECONDS - 1
        assert bench.step() == []
        bench.roster = there
        assert bench.step() == []
        bench.control.deaf, bench.roster = set(), {}
        assert bench.step() == [], "its own word is that it holds a job"
    assert here.stopped == []


def test_a_drain_that_was_interrupted_is_ended_by_the_next_process(bench, here):
    bench.jobs = 1
    bench.step()
    bench.all_are("busy", 40)
    bench.fleet.dismiss()
    bench.step()
    bench.rules = replace(RULES, maximum=0)
    bench.begin_anew()
    assert bench.step() == []
    bench.all_are("idle", 3)
    assert bench.step() == [("stopped", "gpu0")]


def test_a_worker_that_drains_is_no_hand_for_the_queue(bench, here):
    bench.jobs = 2
    bench.step()
    bench.all_are("busy")
    for name in here.nodes[:1]:
        bench.roster[name] = replace(bench.roster[name], doing="stopping")
    bench.gpus = 3
    bench.begin_anew()
    assert bench.step() == [("started", "gpu2")]


def test_a_worker_that_died_is_started_again_later_and_later(bench, here):
    bench.jobs, bench.gpus = 1, 1
    bench.begin_anew()
    bench.step()
    waits = []
    for _ in range(4):
        here.crash()
        bench.step()
        began = bench.time
        while not here.nodes:
            bench.time += 0.5
            bench.step()
        waits.append(bench.time - began)
    assert waits == [1.0, 2.0, 4.0, 8.0]
    assert len(here.containers) == 1, "of a slot only the last one is kept"


def test_a_crash_loop_is_said_once_with_the_end_of_the_log(bench, here):
    bench.jobs, bench.gpus = 1, 1
    bench.begin_anew()
    changes = []
    for _ in range(8):
        changes += bench.fleet.step().changes
        here.crash()
        changes += bench.fleet.step().changes
        bench.time += 400
    assert [each.what for each in changes] == [
        "started",
        "ended",
        "started",
        "ended",
        "started",
        "crash loop",
    ]
    assert changes[-1].log == ("Traceback", "it broke")
    assert changes[-1].note == "exit code 1 after 2 s, 3 times in a row; again in 4 s"
    assert len(here.started) == 8, "it is still tried"


def test_what_was_seen_when_redis_went_away_is_told_when_it_is_back(bench, here):
    bench.jobs = 1
    bench.step()
    bench.all_are("busy")
    bench.fleet.dismiss()
    bench.step()
    here.is_away, bench.control.is_away = True, True
    with pytest.raises(BrokerUnavailable):
        bench.step()
    bench.control.is_away = False
    assert bench.step() == [("away", None)]


def test_a_silence_from_before_an_outage_of_redis_counts_no_more_after_it(bench, here):
    """A worker that did not answer just before Redis lost its memory is busy, and is on its way back."""
    bench.jobs = 1
    bench.step()
    bench.all_are("busy", 40)
    bench.fleet.dismiss()
    bench.step()
    bench.control.deaf = set(here.nodes)
    assert bench.step() == []
    bench.control.is_away = True
    with pytest.raises(BrokerUnavailable):
        bench.step()
    bench.time += 60
    bench.control.is_away, bench.roster = False, {}
    assert bench.step() == []
    bench.time += SILENT_SECONDS - 1
    assert bench.step() == []
    assert here.stopped == []


def test_the_next_process_goes_on_with_the_count_of_deaths(bench, here):
    bench.jobs, bench.gpus = 1, 1
    bench.begin_anew()
    for _ in range(3):
        bench.step()
        here.crash()
        bench.step()
        bench.time += 400
    bench.begin_anew()
    assert bench.step() == [("crash loop", "gpu0")]
    assert bench.step() == []
    bench.time += 4
    bench.step()
    assert len(here.nodes) == 1


def test_a_worker_that_died_after_a_long_life_is_replaced_at_once_and_counts_as_no_crash(bench, here):
    bench.jobs, bench.gpus = 1, 1
    bench.begin_anew()
    for _ in range(5):
        bench.step()
        here.crash(lived=3600, code=0)
        changes = bench.step()
        assert changes == [("ended", "gpu0"), ("started", "gpu0")]


def test_while_a_slot_rests_another_one_is_used(bench, here):
    bench.jobs = 1
    bench.step()
    here.crash()
    assert bench.step() == [("ended", "gpu0"), ("started", "gpu1")]


def test_what_died_is_removed_when_all_go(bench, here):
    bench.jobs = 1
    bench.step()
    here.crash()
    bench.jobs = 0
    bench.step()
    assert len(here.containers) == 1, "its log can be read"
    bench.fleet.dismiss()
    bench.step()
    assert here.containers == {} and bench.fleet.is_over


def test_a_host_that_is_away_is_said_once_and_its_workers_count_on(bench, here):
    there = FakeHost("there")
    bench = Bench([here, there], jobs=4)
    bench.step()
    bench.all_are("busy")
    there.is_away = True
    assert [bench.step(), bench.step()] == [[("away", None)], []]
    there.is_away = False
    assert bench.step() == [("back", None)]
    assert (len(here.started), len(there.started)) == (2, 2)


def test_on_a_host_that_is_away_nobody_is_started(here):
    there = FakeHost("there")
    there.is_away = True
    bench = Bench([here, there], jobs=4)
    assert bench.step() == [("away", None), ("started", "gpu0"), ("started", "gpu1")]


def test_a_host_that_can_start_no_worker_ends_the_fleet_at_its_first_look(bench, here):
    bench.jobs, here.refuses = 1, "here has no GPU to give"
    with pytest.raises(ConfigurationError, match="no GPU to give"):
        bench.step()


def test_a_refusal_later_on_is_said_once_and_tried_again(bench, here):
    bench.step()
    bench.jobs, here.refuses = 1, "here has no image worker"
    assert bench.step() == [("refused", "gpu0")]
    bench.time += 400
    assert bench.step() == []
    here.refuses = None
    bench.time += 400
    assert [what for what, _ in bench.step()] == ["started"]


def test_when_it_is_done_is_told_by_those_who_are_at_it(bench):
    bench.jobs = 10
    assert bench.fleet.step().done_in_seconds == 300.0, "ten of a minute each, by two"
    bench.jobs = 0
    assert bench.fleet.step().done_in_seconds == 0.0


def test_how_the_fleet_stands_is_told_as_it_is_after_the_look(bench, here):
    bench.jobs = 1
    states = [[each.state for each in bench.fleet.step().members]]
    bench.jobs = 0
    bench.all_are("idle", 300)
    states += [[each.state for each in bench.fleet.step().members] for _ in range(2)]
    assert states == [["starting"], ["leaving"], []]


def test_workers_of_others_do_their_part(bench, here):
    bench.jobs = 2
    bench.roster = {name: Worker(name, doing="busy") for name in ("a@there", "b@there")}
    standing = bench.fleet.step()
    assert (here.started, standing.load.others, standing.done_in_seconds) == ([], 2, 60.0)
