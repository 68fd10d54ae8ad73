"""What OpenAPI promises holds for whatever may be sent: schemathesis makes it up, the same each time."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance

EXAMPLES = 25
"""Of each operation; all of them take about half a minute."""

BEYOND = {"POST /generate", "POST /jobs", "POST /batches", "POST /uploads"}
"""No schema tells which addresses lead somewhere, or that an end comes after its start: these may refuse what it allows."""


@pytest.fixture(scope="module")
def schema(shared, serve_for_all):
    """The schema of a server that runs."""
    return schemathesis.openapi.from_url(f"{serve_for_all(shared).url}/openapi.json")


def test_every_answer_is_one_that_the_schema_tells_of(schema):
    found = []
    for each in schema.get_all_operations():
        try:
            _try_out(each.ok())
        except FailureGroup as error:  # all findings at once
            found.append(f"{each.ok().label}: {error}")
    assert not found, "\n".join(found)


def _try_out(operation):
    unchecked = [positive_data_acceptance] if operation.label in BEYOND else []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def one(case):
        case.call_and_validate(timeout=30, excluded_checks=unchecked)

    one()
