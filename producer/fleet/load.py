"""What there is to do and how long it takes: from the feeder's backlog, the queue itself, and the jobs seen last."""

from contract.backlog import Backlog
from contract.pace import Pace
from contract.queue import Queue
from contract.settings import Settings
from producer.estimate import PACES
from producer.fleet.policy import Load

ASSUMED_OUTPUT_SECONDS = 10.0
"""Of a job, before any has been seen."""


class Demand:
    """Looks at what there is to do."""

    def __init__(self, settings: Settings) -> None:
        self._backlog = Backlog(settings)
        self._queue = Queue(settings)
        self._pace = Pace(settings)
        assumed = PACES[settings.engine]
        self._assumed_seconds = (
            assumed.seconds_per_job + ASSUMED_OUTPUT_SECONDS * assumed.seconds_per_output_second
        )

    def look(self, others: int = 0) -> Load:
        """What there is to do now, of which `others` do a part. Raises BrokerUnavailable while Redis is away.

        The queue counts only where no feeder tells: it holds a window of the rows, and after a while some of them twice.
        """
        told, queue, pace = self._backlog.look(), self._queue.look(), self._pace.look()
        seen = pace.seconds_per_job
        return Load(
            jobs=told.rows if told else queue.depth + queue.held,
            oldest_seconds=queue.oldest_seconds,
            seconds_per_job=self._assumed_seconds if seen is None else seen,
            assumed=seen is None,
            jobs_per_hour=pace.jobs_per_hour,
            others=others,
            batches=told.batches if told else None,
        )
