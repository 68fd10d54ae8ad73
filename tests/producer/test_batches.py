import pytest

from contract import keys
from contract.errors import ConfigurationError, NotFound
from producer import batches
from producer.batches import batch_rows, manifests


def test_manifests_come_in_the_order_of_their_jobs_over_all_windows(storage, submitted, commit, monkeypatch):
    monkeypatch.setattr(batches, "WINDOW", 2)
    one, two = batch_rows(storage, submitted)
    commit(submitted, two)
    jobs = [one.job.id, two.job.id, "0" * 64, two.job.id, one.job.id]
    found = [manifest.row if manifest else None for manifest in manifests(storage, jobs)]
    assert found == [None, "two", None, "two", None]


@pytest.mark.parametrize("name", ["never-submitted", "../x", "a/b", "", "x" * 101])
def test_a_name_that_no_batch_has_or_can_have_is_not_found(storage, name):
    with pytest.raises(NotFound, match="there is no batch"):
        list(batch_rows(storage, name))


def test_what_another_version_wrote_is_told_and_not_guessed(storage):
    storage.put(keys.rows("old"), b'{"id":"one","clip":"a"}\n')
    storage.put(keys.manifest("1" * 64), b'{"schema_version":99}')
    with pytest.raises(ConfigurationError, match="batch old was not written by this version of Dubline"):
        list(batch_rows(storage, "old"))
    with pytest.raises(
        ConfigurationError, match=r"the manifest of job 1{64} was not written by this version"
    ):
        list(manifests(storage, ["1" * 64]))
