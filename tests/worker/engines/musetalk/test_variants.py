from contract.job import JobOptions
from worker.engines.musetalk.variants import V1, V15, VARIANTS


def test_a_variant_is_found_by_its_engines_name():
    assert VARIANTS == {"musetalk-v15": V15, "musetalk-v1": V1}


def test_the_second_release_parses_as_the_job_says_and_the_first_always_raw():
    for mode in ("jaw", "raw"):
        assert V15.mode(JobOptions(parsing_mode=mode)) == mode
        assert V1.mode(JobOptions(parsing_mode=mode)) == "raw"


def test_the_releases_have_weights_of_their_own():
    assert V1.unet_weights != V15.unet_weights
