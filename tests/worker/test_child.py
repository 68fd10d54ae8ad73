"""The process that runs jobs: what it does after each attempt."""

import pytest

from contract.errors import EngineFailed, NoFace
from worker import child as module
from worker.child import Child, return_memory


@pytest.mark.parametrize(
    ("error", "is_spent"), [(None, False), (NoFace("none"), False), (EngineFailed("x"), True)]
)
def test_memory_is_given_back_after_every_attempt_however_it_ends(settings, monkeypatch, error, is_spent):
    given_back = []
    monkeypatch.setattr(module, "return_memory", lambda: given_back.append(True))
    child = Child(settings)

    class Workshop:
        def perform(self, *_):
            if error:
                raise error

    child.__dict__["workshop"] = Workshop()
    try:
        child.perform(None, None, None)
    except (NoFace, EngineFailed) as raised:
        assert raised is error
    assert (given_back, child.is_spent) == ([True], is_spent)


def test_memory_can_be_given_back_on_this_machine():
    return_memory()
