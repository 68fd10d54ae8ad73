import re

import pytest

from contract import errors
from contract.errors import BY_CODE, DublineError, InputRejected, TemporaryFailure

TREE = re.findall(r"^[ │├└─]*── (\w+) +(\w+)  ", errors.__doc__, re.MULTILINE)


def classes(root):
    return [root, *(found for child in root.__subclasses__() for found in classes(child))]


OURS = [each for each in classes(DublineError) if each.__module__ == errors.__name__]


def test_every_error_has_a_code_of_its_own():
    assert len({each.code for each in OURS}) == len(OURS) == len(BY_CODE)


def test_the_drawn_tree_is_the_tree():
    assert sorted(TREE) == sorted((each.__name__, each.code) for each in OURS if each is not DublineError)


@pytest.mark.parametrize("each", OURS, ids=lambda each: each.__name__)
def test_only_temporary_failures_are_tried_again(each):
    assert each.retryable == issubclass(each, TemporaryFailure)
    assert not (issubclass(each, TemporaryFailure) and issubclass(each, InputRejected))


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_an_error_can_be_raised_again_from_its_code_and_message(code):
    error = BY_CODE[code]("the fact")
    assert (error.code, error.message, str(error)) == (code, "the fact", "the fact")
