import re
from pathlib import Path

import pytest

from contract import job
from contract.errors import ConfigurationError
from contract.job import JobOptions
from worker import weights
from worker.weights import Hub

MUSETALK = ["musetalk-v15", "musetalk-v1"]


def test_the_contract_names_the_revisions_that_the_registry_holds():
    assert {engine: weights.revision(engine) for engine in weights.ENGINES} == job.ENGINES


def test_the_names_of_the_registry_are_unique_and_so_are_the_places():
    assert len({each.name for each in weights.REGISTRY}) == len(weights.REGISTRY)
    assert len({each.place(Path("cache")) for each in weights.REGISTRY}) == len(weights.REGISTRY)


def test_every_entry_is_pinned_by_hash_and_every_hub_entry_by_commit_and_its_folder_says_which():
    for each in weights.REGISTRY:
        assert re.fullmatch(r"[0-9a-f]{64}", each.sha256) and each.size > 0 and each.licence
        if isinstance(each.source, Hub):
            assert re.fullmatch(r"[0-9a-f]{40}", each.source.commit)
            assert each.revision.endswith("-" + each.source.commit[:8])


def test_every_weight_belongs_to_an_engine_an_option_or_a_metric():
    tables = (*weights.ENGINES.values(), *weights.EVALUATION.values())
    used = {name for names in tables for name in names} | set(weights.EXTRAS.values())
    assert used == {each.name for each in weights.REGISTRY}


def test_metrics_are_asked_for_by_their_familys_name_and_no_job_needs_their_weights():
    assert weights.named("lse") == weights.EVALUATION["lse"] == ("syncnet", "s3fd")
    assert not set(weights.EVALUATION) & {*weights.ENGINES, *(each.name for each in weights.REGISTRY)}
    jobs = {name for engine in weights.ENGINES for name in weights.needed(JobOptions(engine=engine))}
    assert not jobs & {name for names in weights.EVALUATION.values() for name in names}


def test_every_extra_is_a_value_that_the_options_allow():
    for option, value in weights.EXTRAS:
        assert getattr(JobOptions.model_validate({option: value}), option) == value


@pytest.mark.parametrize("engine", MUSETALK)
def test_musetalk_needs_its_own_unet_and_upstreams_networks_only_where_a_job_asks_for_them(engine):
    plain = weights.needed(JobOptions(engine=engine))
    assert plain == weights.ENGINES[engine]
    assert [name for name in plain if name.startswith("unet")] == [engine.replace("musetalk", "unet")]
    both = weights.needed(JobOptions(engine=engine, landmarks="dwpose", mask="bisenet"))
    assert both == (*plain, "dwpose", "face-parsing")


def test_preview_has_no_use_for_musetalks_options_and_needs_no_weights_of_them():
    assert weights.needed(JobOptions(landmarks="dwpose", mask="bisenet")) == weights.ENGINES["preview"]


def test_the_manifest_names_every_file_that_an_engine_loads():
    records = weights.records("preview")
    assert [record.name for record in records] == ["face-detection", "face-mesh"]
    assert [record.sha256 for record in records] == [weights.weight(record.name).sha256 for record in records]


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(ConfigurationError, match="no weights are named 'nonsense'; there are face-detection"):
        weights.path("nonsense", tmp_path)
    with pytest.raises(
        ConfigurationError,
        match=r"neither an engine \(preview, .*nor a metric \(.*fid.*nor weights \(face-detection",
    ):
        weights.named("nonsense")


@pytest.mark.parametrize(
    ("metric", "files"),
    [("fid", ("inception-fid",)), ("csim", ("arcface",)), ("lpips", ("alexnet", "lpips-alex"))],
)
def test_a_metrics_weights_are_fetched_by_its_name(metric, files):
    assert weights.named(metric) == files


def test_a_name_means_one_thing():
    names = [*weights.ENGINES, *weights.EVALUATION, *(each.name for each in weights.REGISTRY)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("size", "text"), [(748, "0.7 kB"), (334_643_276, "334.6 MB"), (3_400_074_924, "3.4 GB")]
)
def test_sizes_are_said_as_people_say_them(size, text):
    assert weights.readable(size) == text
