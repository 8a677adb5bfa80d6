"""The Job of one attempt: restricted, tried once, and the same however often it is built."""

import json
from dataclasses import replace

from tidemill.core.manifests.job import (
    Start,
    job,
    parameters_config_map,
    pipeline_config_map,
)
from tidemill.core.plan import Body

START = Start(
    execution="churn-0123456789",
    uid="u1",
    namespace="team",
    job="churn-0123456789-1",
    image="tidemill/steps:1",
    image_pull_policy="IfNotPresent",
    builtin="train-tabular",
    parameters={"arguments": "{}", "tidemill_result_uri": "s3://b/runs/u1/1/result.json"},
    result_uri="s3://b/runs/u1/1/result.json",
    progress_uri="s3://b/runs/u1/1/progress.json",
    expects_result=True,
    artifact_secret="tidemill-artifacts",
    source_secrets=("flights",),
    service_account="",
    cpu="500m",
    memory="1Gi",
    seconds=3540,
)
OWN = replace(START, builtin=None)
LARGE = replace(START, parameters={"arguments": "x" * 32768})


def _container(start: Start) -> Body:
    held: Body = job(start)["spec"]["template"]["spec"]["containers"][0]
    return held


def _env(start: Start) -> dict[str, str]:
    return {item["name"]: item["value"] for item in _container(start)["env"]}


def test_a_job_is_tried_once_never_cleaned_up_and_does_not_count_disruptions() -> None:
    spec = job(START)["spec"]

    assert spec["backoffLimit"] == 0
    assert spec["activeDeadlineSeconds"] == 3540
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["podFailurePolicy"]["rules"] == [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    ]
    assert "ttlSecondsAfterFinished" not in spec
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_a_job_is_ours_by_labels_owner_and_hash() -> None:
    made = job(START)

    assert made["metadata"]["name"] == "churn-0123456789-1"
    assert made["metadata"]["labels"] == {
        "app.kubernetes.io/name": "tidemill",
        "app.kubernetes.io/component": "execution",
        "app.kubernetes.io/managed-by": "tidemill",
        "tidemill.dev/execution": "churn-0123456789",
    }
    assert made["spec"]["template"]["metadata"]["labels"] == made["metadata"]["labels"]
    assert made["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "tidemill.dev/v1alpha1",
            "kind": "PipelineExecution",
            "name": "churn-0123456789",
            "uid": "u1",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert made["metadata"]["annotations"]["tidemill.dev/expects-result"] == "true"
    assert job(START) == made
    other = job(replace(START, image="tidemill/steps:2"))["metadata"]["annotations"]
    assert (
        other["tidemill.dev/spec-hash"] != made["metadata"]["annotations"]["tidemill.dev/spec-hash"]
    )


def test_a_pod_keeps_to_the_restricted_pod_security_standard() -> None:
    pod = job(START)["spec"]["template"]["spec"]
    container = _container(START)

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert "serviceAccountName" not in pod
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["terminationMessagePolicy"] == "File"
    assert container["resources"] == {
        "requests": {"cpu": "500m", "memory": "1Gi"},
        "limits": {"memory": "1Gi"},
    }


def test_the_runner_is_told_what_to_run_and_where_to_write() -> None:
    container, env = _container(START), _env(START)

    assert container["command"] == ["python", "-m", "tidemill.steps.run_pipeline"]
    assert container["args"] == [
        "--pipeline=builtin:train-tabular",
        "--result-uri=s3://b/runs/u1/1/result.json",
        "--progress-uri=s3://b/runs/u1/1/progress.json",
    ]
    assert json.loads(env["TIDEMILL_PARAMETERS"]) == START.parameters
    assert (env["HOME"], env["TMPDIR"]) == ("/tmp", "/tmp")
    assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]


def test_the_artifact_stores_secret_comes_plain_and_the_users_with_a_prefix() -> None:
    assert _container(START)["envFrom"] == [
        {"secretRef": {"name": "tidemill-artifacts"}},
        {"prefix": "SOURCE_", "secretRef": {"name": "flights"}},
    ]


def test_a_pipeline_that_is_not_ours_comes_from_a_config_map_of_the_execution() -> None:
    stored = pipeline_config_map(OWN, "root: {}\n")
    pod = job(OWN)["spec"]["template"]["spec"]

    assert stored["metadata"]["name"] == "churn-0123456789-ir-93926d17"
    assert stored["data"] == {"pipeline.yaml": "root: {}\n"}
    assert stored["immutable"] is True
    volume = {"name": "pipeline", "configMap": {"name": "churn-0123456789-ir-93926d17"}}
    assert volume in pod["volumes"]
    assert _container(OWN)["args"][0] == "--pipeline=file:/pipeline/pipeline.yaml"
    assert {"name": "pipeline", "mountPath": "/pipeline", "readOnly": True} in _container(OWN)[
        "volumeMounts"
    ]


def test_the_pipeline_is_stored_alike_for_every_attempt() -> None:
    second = replace(OWN, job="churn-0123456789-2", seconds=100)

    assert pipeline_config_map(OWN, "x") == pipeline_config_map(second, "x")


def test_large_parameters_come_from_a_config_map_of_the_attempt() -> None:
    stored = parameters_config_map(LARGE)

    assert parameters_config_map(START) is None
    assert stored is not None
    assert stored["metadata"]["name"] == "churn-0123456789-1-parameters-93926d17"
    assert json.loads(stored["data"]["parameters.json"]) == LARGE.parameters
    env = _env(LARGE)
    assert env["TIDEMILL_PARAMETERS_FILE"] == "/parameters/parameters.json"
    assert "TIDEMILL_PARAMETERS" not in env


def test_a_dollar_in_a_parameter_is_not_expanded() -> None:
    held = _env(replace(START, parameters={"p": "$(HOME) $$ $x"}))["TIDEMILL_PARAMETERS"]

    # Kubernetes turns $$ into $ and leaves everything else.
    assert json.loads(held.replace("$$", "$")) == {"p": "$(HOME) $$ $x"}
    assert "$$(HOME) $$$$ $$x" in held


def test_a_service_account_is_named_where_one_is_wanted() -> None:
    pod = job(replace(START, service_account="trainer"))["spec"]["template"]["spec"]

    assert pod["serviceAccountName"] == "trainer"
