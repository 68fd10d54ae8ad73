"""What there is to do, from real figures in a real Redis."""

import pytest

from contract.backlog import Backlog, BacklogRecord
from contract.broker import publish
from contract.job import Delivery, Job, Row, Source
from contract.pace import Pace
from producer.fleet.load import Demand

DELIVERY = Delivery(
    batch="b", row=Row(id="r", job=Job(video=Source(uri="s3://b/v"), audio=Source(uri="s3://b/a")))
)


@pytest.fixture
def demand(settings):
    return Demand(settings)


def test_with_nothing_to_do_there_is_no_load(demand):
    load = demand.look(others=2)
    assert (load.jobs, load.oldest_seconds, load.jobs_per_hour, load.others, load.batches) == (
        0,
        None,
        0,
        2,
        None,
    )


def test_the_queue_is_only_a_window_of_what_feeders_know(demand, settings, app):
    publish(app, DELIVERY)
    Backlog(settings).tell(BacklogRecord(batches=2, rows=5000))
    load = demand.look()
    assert (load.jobs, load.batches) == (5000, 2)
    assert load.oldest_seconds is not None


def test_without_a_feeder_the_queue_counts_and_with_one_its_rows_for_the_queue_may_have_some_twice(
    demand, settings, app
):
    for _ in range(3):
        publish(app, DELIVERY)
    assert demand.look().jobs == 3
    Backlog(settings).tell(BacklogRecord(batches=1, rows=1))
    assert demand.look().jobs == 1


def test_how_long_a_job_takes_is_assumed_until_one_has_been_seen(demand, settings):
    load = demand.look()
    assert (load.assumed, load.seconds_per_job) == (True, 22.0)
    Pace(settings).note(7.5)
    load = demand.look()
    assert (load.assumed, load.seconds_per_job, load.jobs_per_hour) == (False, 7.5, 6)
