"""A worker's app, for `celery -A benchmarks.stand_in_worker`: it takes the random networks of its folder for the real."""

from contract.settings import Settings
from worker.evaluation.bench import stand_ins

stand_ins.find(Settings.read().weights).let_in()

from worker.app import app  # noqa: E402 - it may look at the registry

app.conf.include = ["benchmarks.stand_in_worker"]  # its child imports this file, too
