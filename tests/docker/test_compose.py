"""What can be seen of the containers' files without an engine; tests/stack/journey.py runs them."""

import re
from pathlib import Path

import pytest
import yaml

from contract.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
FILES = {path.name: path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("docker-compose*.yml"))}
DOCKERFILES = sorted((ROOT / "docker").glob("Dockerfile.*"))
ONE_SHOTS = {"bucket", "models", "submit"}
OF_DOCKER = {
    "COMPOSE_PROJECT_NAME",
    "COMPOSE_PROFILES",
    "TAG",
    "GPU_TAG",
    "REQUIRE_GPU",
    "LIST_PAGE_KEYS",
    "FLOWER_USER",
}
"""What Compose itself reads, and what nobody but a test or an expert sets."""


COMPOSE = {name: yaml.safe_load(text) for name, text in FILES.items()}
SERVICES = COMPOSE["docker-compose.yml"]["services"]


def variables():
    """Those that the files take from .env."""
    braced = {found for text in FILES.values() for found in re.findall(r"(?<!\$)\$\{(\w+)", text)}
    environments = [
        service.get("environment", {}) for each in COMPOSE.values() for service in each["services"].values()
    ]
    return braced | {name for each in environments for name, value in each.items() if value is None}


def test_every_value_of_the_stack_is_explained_in_the_example_and_the_example_explains_no_other():
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    explained = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))
    assert explained - variables() <= OF_DOCKER
    assert variables() - explained - OF_DOCKER == set()


def test_a_line_of_the_example_is_right_once_its_sign_is_taken_away():
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    lines = re.findall(r"^#?([A-Z][A-Z0-9_]+=.*)$", example, re.MULTILINE)
    assert len(lines) > 20
    assert [each for each in lines if re.search(r"\s", each)] == [], "what follows a value belongs to it"


@pytest.mark.parametrize("name", ["worker", "fleet"])
def test_workers_are_started_when_the_weights_are_there_whoever_starts_them(name):
    assert SERVICES[name]["depends_on"]["models"] == {"condition": "service_completed_successfully"}


def test_no_password_is_left_to_what_an_image_begins_with():
    secret = re.compile(r"\$\{(\w+_PASSWORD|S3_\w+_KEY)([^}]*)\}")
    used = secret.findall(FILES["docker-compose.yml"])
    required = {name for name, how in used if how.startswith(":?")}
    assert {name for name, _ in used} == required and len(required) == 5


def test_flower_which_reads_the_queue_is_told_no_more_than_where_that_is():
    told = SERVICES["flower"]["environment"].keys()
    assert told == {"DUBLINE_REDIS_URL", "FLOWER_BASIC_AUTH"}


def test_of_the_store_only_s3_itself_listens_in_the_network():
    command = (ROOT / "docker" / "Dockerfile.s3").read_text(encoding="utf-8").partition('CMD ["server')[2]
    assert '"-ip.bind=127.0.0.1"' in command and '"-s3.ip.bind=0.0.0.0"' in command
    assert command.count("0.0.0.0") == 1


def test_every_setting_that_the_stack_names_is_one():
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    named = {found for text in FILES.values() for found in re.findall(r"DUBLINE_[A-Z0-9_]+", text)}
    assert named <= known
    images = {found for path in DOCKERFILES for found in re.findall(r"DUBLINE_[A-Z0-9_]+", path.read_text())}
    assert images <= known


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_fenced_in(name):
    service = SERVICES[name]
    assert service["read_only"] and service["init"] and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(each.startswith("127.0.0.1:") for each in service.get("ports", ()))
    assert ("/var/run/docker.sock" in str(service.get("volumes"))) == (name == "fleet")


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONE_SHOTS))
def test_a_service_that_stays_is_started_again_and_asked_how_it_is(name):
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    own = re.search(r"Dockerfile\.(\w+)", str(service.get("build")))
    in_image = own and "HEALTHCHECK" in (ROOT / "docker" / own[0]).read_text()
    assert in_image or service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


def test_on_aws_nothing_leads_to_the_store_of_this_machine():
    base = SERVICES["worker"]["environment"].keys() | SERVICES["api"]["environment"].keys()
    for name, service in COMPOSE["docker-compose.aws.yml"]["services"].items():
        said = service["environment"]
        assert name in SERVICES
        for each in base:
            if each.startswith("DUBLINE_S3_") and not each.endswith(("BUCKET", "REGION")):
                assert said[each] == "", (name, each)
    assert COMPOSE["docker-compose.aws.yml"]["services"].keys() == {
        name
        for name, service in SERVICES.items()
        if "DUBLINE_S3_BUCKET" in service.get("environment", {})
        and "local" not in service.get("profiles", ())
    }


def test_devices_are_asked_for_in_the_long_form_that_every_compose_honours():
    worker = COMPOSE["docker-compose.gpu.yml"]["services"]["worker"]
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"]) == ("nvidia", "all") and "gpu" in device["capabilities"]
    assert not re.search(r"^\s+gpus:\s+all", "\n".join(FILES.values()), re.MULTILINE)


def test_a_volume_that_a_worker_writes_to_is_a_folder_of_its_image_which_is_its_own():
    """A volume takes over owner and rights of the folder that it covers; of one that is not there it is root's."""
    named = "\n".join(text for name, text in FILES.items() if name != "docker-compose.aws.yml")
    written = set(re.findall(r'"(?:weights|gpus):(/\w+)"', named))
    assert written == {"/weights", "/gpus"}
    made = re.search(
        r"install --directory --owner=10001 --group=10001 (.+)",
        (ROOT / "docker/Dockerfile.worker").read_text(),
    )
    assert written <= set(made[1].split())


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.suffix)
def test_an_image_runs_as_a_number_by_exec_and_fetches_no_frontend(path):
    text = path.read_text(encoding="utf-8")
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert re.search(r"^ENTRYPOINT \[", text, re.MULTILINE)
    assert "syntax=" not in text
    assert "org.opencontainers.image.licenses" in text
