"""The files of docs/scale.md are what Kubernetes and CloudFormation take, and say of Dubline what is so."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from cfnlint.api import lint_file
from cfnlint.decode.cfn_yaml import load as load_template

from contract.settings import PREFIX, Settings
from producer.estimate import PACES
from producer.fleet.load import ASSUMED_OUTPUT_SECONDS
from tests.figures import names
from worker.stopping import LAST_SECONDS

ROOT = Path(__file__).parents[1]
KEDA, ECS = ROOT / "configs" / "scale" / "keda.yaml", ROOT / "configs" / "scale" / "ecs.yaml"
OBJECTS = [each for each in yaml.safe_load_all(KEDA.read_text(encoding="utf-8"))]
SCALED = next(each for each in OBJECTS if each["kind"] == "ScaledObject")
PODS = {
    each["metadata"]["name"].removeprefix("dubline-"): each["spec"]["template"]["spec"]
    for each in OBJECTS
    if each["kind"] == "Deployment"
}
TEMPLATE = load_template(str(ECS))["Resources"]
TASKS = {
    name.removesuffix("Task").lower(): each["Properties"]["ContainerDefinitions"]
    for name, each in TEMPLATE.items()
    if each["Type"] == "AWS::ECS::TaskDefinition"
}
SECRETS = {
    PREFIX + name.upper() for name, each in Settings.model_fields.items() if "Secret" in str(each.annotation)
}
AGENT = "figures"
"""Amazon's own, beside the feeder."""
RIGHTS = {
    "get_object": "s3:GetObject",
    "head_object": "s3:GetObject",
    "put_object": "s3:PutObject",
    "upload_file": "s3:PutObject",
    "copy": "s3:PutObject",
    "create_multipart_upload": "s3:PutObject",
    "upload_part": "s3:PutObject",
    "complete_multipart_upload": "s3:PutObject",
    "abort_multipart_upload": "s3:AbortMultipartUpload",
    "delete_object": "s3:DeleteObject",
    "delete_objects": "s3:DeleteObject",
    "head_bucket": "s3:ListBucket",
    "list_objects_v2": "s3:ListBucket",
    "list_multipart_uploads": "s3:ListBucketMultipartUploads",
    "create_bucket": None,  # of `dubline doctor` and the embedded store
}
"""What IAM calls each request of contract/storage.py."""

# The part of KEDA's own definition that is used here; that definition itself was not run.
SCALED_OBJECT = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "keda.sh/v1alpha1"},
        "spec": {
            "type": "object",
            "required": ["scaleTargetRef", "triggers"],
            "additionalProperties": False,
            "properties": {
                "scaleTargetRef": {"type": "object", "required": ["name"]},
                **{
                    each: {"type": "integer", "minimum": 0}
                    for each in ("minReplicaCount", "maxReplicaCount", "pollingInterval", "cooldownPeriod")
                },
                "advanced": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"horizontalPodAutoscalerConfig": {"type": "object"}},
                },
                "triggers": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["type", "metadata"],
                        "additionalProperties": False,
                        "properties": {
                            "type": {"const": "prometheus"},
                            "metricType": {"enum": ["AverageValue", "Value"]},
                            "metadata": {
                                "type": "object",
                                "required": ["serverAddress", "query", "threshold"],
                                "additionalProperties": {"type": "string"},
                            },
                        },
                    },
                },
            },
        },
    },
}


def containers():
    """Every container of both files: where it is, its name, and the object."""
    for pod, spec in PODS.items():
        for each in spec.get("initContainers", []) + spec["containers"]:
            yield "keda", pod, each
    for task, found in TASKS.items():
        for each in found:
            yield "ecs", task, each


def given():
    """What the containers are told: variable and value; None where the value is elsewhere."""
    yield from next(each for each in OBJECTS if each["kind"] == "ConfigMap")["data"].items()
    for file, _, each in containers():
        if file == "keda":
            yield from ((env["name"], env.get("value")) for env in each.get("env", []))
        elif each["Name"] != AGENT:
            yield from ((env["Name"], env["Value"]) for env in each.get("Environment", []))
            yield from ((env["Name"], None) for env in each.get("Secrets", []))


@pytest.mark.parametrize("each", OBJECTS, ids=lambda each: f"{each['kind']} {each['metadata']['name']}")
def test_an_object_of_kubernetes_is_what_its_newest_schema_takes(each):
    if each is SCALED:
        jsonschema.validate(each, SCALED_OBJECT)
        horizontal = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": each["metadata"],
            "spec": {
                "scaleTargetRef": {"kind": "Deployment", **each["spec"]["scaleTargetRef"]},
                "maxReplicas": each["spec"]["maxReplicaCount"],
                **each["spec"]["advanced"]["horizontalPodAutoscalerConfig"],
            },
        }
        each = horizontal
    kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


def test_the_schemas_refuse_what_is_wrong():
    wrong = {**SCALED, "spec": {**SCALED["spec"], "maxReplicas": 4}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCALED_OBJECT)
    service = next(each for each in OBJECTS if each["kind"] == "Service")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(
            {**service, "spec": {**service["spec"], "port": 1}},
            kubernetes_validate.latest_version(),
            strict=True,
        )


def lint(path):
    return [f"{each.rule.id} {each.linenumber}: {each.message}" for each in lint_file(path)]


def test_cloudformation_s_linter_finds_nothing():
    assert lint(ECS) == []


def test_cloudformation_s_linter_finds_what_is_wrong(tmp_path):
    wrong = (
        ECS.read_text(encoding="utf-8")
        .replace("StopTimeout", "StopTime")
        .replace("!Ref Machines", "!Ref Machine")
    )
    (tmp_path / "wrong.yaml").write_text(wrong, encoding="utf-8")
    assert {each.split()[0] for each in lint(tmp_path / "wrong.yaml")} >= {"E1020", "E3002"}


def test_every_variable_is_a_setting_and_its_value_one_that_it_may_have():
    told = dict(given())
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    assert told.keys() <= known
    plain = {
        name.removeprefix(PREFIX).lower(): value for name, value in told.items() if isinstance(value, str)
    }
    Settings(**plain)


def test_a_secret_is_named_and_never_written_down():
    assert {name for name, value in given() if name in SECRETS} == {"DUBLINE_REDIS_URL"}
    assert [value for name, value in given() if name in SECRETS and value is not None] == []
    assert "kind: Secret\n" not in KEDA.read_text(encoding="utf-8")


def test_no_pod_is_told_of_services_by_variables_that_are_no_settings():
    assert {name: pod.get("enableServiceLinks") for name, pod in PODS.items()} == dict.fromkeys(PODS, False)


def compose(service):
    text = re.sub(r"!reset null", "null", (ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return yaml.safe_load(text)["services"][service]


@pytest.mark.parametrize("service", ["api", "feeder", "watcher"])
def test_what_runs_is_what_compose_runs(service):
    expected = compose(service)
    (pod,) = PODS[service]["containers"]
    task = TASKS[service][0]
    assert pod["args"] == task["Command"] == expected["command"]
    image = expected["image"].partition(":")[0]
    assert pod["image"].partition(":")[0] == image and f"}}{image}:" in task["Image"]["Fn::Sub"]


@pytest.mark.parametrize(
    ("models", "worker"),
    [
        (PODS["worker"]["initContainers"][0]["command"], PODS["worker"]["containers"][0]),
        (TASKS["worker"][0]["EntryPoint"], TASKS["worker"][1]),
    ],
    ids=["keda", "ecs"],
)
def test_a_worker_runs_as_its_image_says_once_its_weights_are_there(models, worker):
    assert models == compose("models")["entrypoint"]
    assert not {"args", "command", "Command", "EntryPoint"} & worker.keys()
    image = worker["image"] if "image" in worker else worker["Image"]["Fn::Sub"]
    gpu = (ROOT / "docker-compose.gpu.yml").read_text(encoding="utf-8")
    assert image.endswith("dubline-worker:gpu") and "dubline-worker:${GPU_TAG:-gpu}" in gpu


def test_nothing_runs_as_root_writes_beside_its_folder_or_may_do_more_than_it_must():
    for pod in PODS.values():
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for file, _, each in containers():
        if file == "keda":
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
        elif each["Name"] != AGENT:
            assert each["ReadonlyRootFilesystem"]


def test_a_worker_has_one_gpu_and_time_to_give_its_job_back():
    needed = Settings.model_fields["grace_seconds"].default + LAST_SECONDS
    pod, task = PODS["worker"], TASKS["worker"][1]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert [dict(each) for each in task["ResourceRequirements"]] == [{"Type": "GPU", "Value": "1"}]
    assert pod["terminationGracePeriodSeconds"] > needed and task["StopTimeout"] > needed


def test_an_outage_of_redis_ends_no_running_job():
    for file, name, each in containers():
        alive = each.get("livenessProbe", {}).get("exec", {}).get("command", []) + each.get(
            "HealthCheck", {}
        ).get("Command", [])
        assert "worker.ping" not in alive and "ready" not in " ".join(alive), (file, name)


def test_the_scalers_ask_for_metrics_that_exist():
    asked = set(re.findall(r"dubline_\w+", SCALED["spec"]["triggers"][0]["metadata"]["query"]))
    alarms = set(re.findall(r"\bdubline_\w+", ECS.read_text(encoding="utf-8")))
    assert asked == alarms == {"dubline_rows_taken"} <= names()


def test_the_window_is_as_wide_as_the_scaler_is_to_see():
    told = next(each for each in OBJECTS if each["kind"] == "ConfigMap")["data"]
    assert int(told["DUBLINE_FLEET_SIZE"]) == SCALED["spec"]["maxReplicaCount"]
    feeder = {each["Name"]: each["Value"] for each in TASKS["feeder"][0]["Environment"]}
    assert (
        feeder["DUBLINE_FLEET_SIZE"]
        == TEMPLATE["Workers"]["Properties"]["MaxCapacity"]
        == {"Ref": "MaxWorkers"}
    )


def test_the_rights_on_the_bucket_are_those_that_are_used():
    tree = ast.parse((ROOT / "contract" / "storage.py").read_text(encoding="utf-8"))
    used = {
        each.func.attr
        for each in ast.walk(tree)
        if isinstance(each, ast.Call)
        and isinstance(each.func, ast.Attribute)
        and ast.unparse(each.func.value) == "self._client"
    } - {"get_paginator"}
    used |= {
        each.args[0].value
        for each in ast.walk(tree)
        if isinstance(each, ast.Call)
        and isinstance(each.func, ast.Attribute)
        and each.func.attr == "get_paginator"
    }
    assert used == RIGHTS.keys()
    bucket = TEMPLATE["TaskRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    granted = {action for each in bucket for action in each["Action"]}
    assert granted == {each for each in RIGHTS.values() if each}


PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def test_the_plan_follows_from_the_pace_that_estimates_assume():
    pace = PACES["musetalk-v15"]
    assert (
        f"**{pace.seconds_per_job:g} s a job and {pace.seconds_per_output_second:g} s a second of output**"
        in PAGE
    )
    assert f"**{ASSUMED_OUTPUT_SECONDS:g} s of output**" in PAGE
    seconds = pace.seconds_per_job + pace.seconds_per_output_second * ASSUMED_OUTPUT_SECONDS
    plan = PAGE.partition("## One assumption")[2].partition("## ")[0]
    rows = [
        [cell.strip() for cell in line.split("|")[1:5]]
        for line in plan.splitlines()
        if re.match(r"\| [\d,]+ \|", line)
    ]
    expected = [
        [
            f"{gpus:,}",
            f"{3600 * gpus / seconds:,.0f}",
            f"{60 * gpus * ASSUMED_OUTPUT_SECONDS / seconds:,.0f}",
            f"{gpus / seconds:.3f}",
        ]
        for gpus in (1, 4, 40, 400, 1000)
    ]
    assert rows == expected


def test_the_page_names_files_and_metrics_that_exist():
    files = set(re.findall(r"`((?:configs|tests)/[\w./-]+|docker-compose[\w.]*\.yml)`", PAGE))
    assert len(files) >= 5 and [each for each in files if not (ROOT / each).is_file()] == []
    assert set(re.findall(r"dubline_\w+", PAGE)) <= names()


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [("0 0 0 900 0 0 0 0 0 0", 0), ("0 0 0 0 7 7 7 7 7 9", 7), ("7 7 7 7 0 0 0 0 0 0", 0)],
    ids=["a moment's rows are nobody's work", "rows that stay are", "none are none"],
)
def test_so_many_workers_are_wanted_as_rows_were_on_their_way_all_the_last_minute(tmp_path, rows, wanted):
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed: Debian's package `prometheus` has it")
    query = SCALED["spec"]["triggers"][0]["metadata"]["query"]
    proof = {
        "input_series": [
            {"series": 'dubline_rows_taken{instance="feeder-1"}', "values": rows},
            {"series": 'dubline_rows_taken{instance="feeder-2"}', "values": rows},
        ],
        "interval": "15s",
        "promql_expr_test": [
            {"expr": query, "eval_time": "2m15s", "exp_samples": [{"labels": "{}", "value": wanted}]}
        ],
    }
    (tmp_path / "proof.yml").write_text(yaml.safe_dump({"tests": [proof]}), encoding="utf-8")
    done = subprocess.run(
        [program, "test", "rules", "proof.yml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
