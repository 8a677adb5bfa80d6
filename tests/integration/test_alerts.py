"""The alerts, evaluated by Prometheus' own tool on series as operator and servers export them."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import gobuild
from tests.integration.chart import CHART

RULES = CHART / "files" / "alerts.yaml"
CANNOT_BE_READ = (
    'tidemill_operator_conditions{kind="Dataset",type="SourceAvailable",status="False"}'
)
FLIGHTS = 'dataset_namespace="flights",dataset="flights"'
SERVER = 'namespace="flights",modeldeployment="delays",revision="delays-1",pod="a"'

# name -> (series and their values by the minute, alert, whether it fires after an hour)
CASES: dict[str, tuple[dict[str, str], str, bool]] = {
    "somebody leads": (
        {'tidemill_operator_leader{pod="a"}': "0x60", 'tidemill_operator_leader{pod="b"}': "1x60"},
        "TidemillNobodyLeads",
        False,
    ),
    "two standbys and no leader": (
        {'tidemill_operator_leader{pod="a"}': "0x60", 'tidemill_operator_leader{pod="b"}': "0x60"},
        "TidemillNobodyLeads",
        True,
    ),
    "no operator at all": ({}, "TidemillNobodyLeads", True),
    "an object has been stalled for an hour": (
        {'tidemill_operator_conditions{kind="TrainingJob",type="Stalled",status="True"}': "1x60"},
        "TidemillStalled",
        True,
    ),
    "an object was stalled for ten minutes": (
        {
            'tidemill_operator_conditions{kind="TrainingJob",type="Stalled",status="True"}': (
                "1x10 0x50"
            )
        },
        "TidemillStalled",
        False,
    ),
    "the operator is forbidden something": (
        {'tidemill_operator_api_requests_total{verb="list",kind="Pod",code="403"}': "0+1x60"},
        "TidemillApiRefused",
        True,
    ),
    "conflicts are normal": (
        {'tidemill_operator_api_requests_total{verb="update",kind="Dataset",code="409"}': "0+1x60"},
        "TidemillApiRefused",
        False,
    ),
    "a source has not changed for an hour, which is longer than it may": (
        {
            f"tidemill_dataset_source_age_seconds{{{FLIGHTS}}}": "0+60x60",
            f"tidemill_dataset_fresh_within_seconds{{{FLIGHTS}}}": "1800x60",
        },
        "TidemillSourceStale",
        True,
    ),
    "a source changes every ten minutes": (
        {
            f"tidemill_dataset_source_age_seconds{{{FLIGHTS}}}": "0+60x10 " * 6,
            f"tidemill_dataset_fresh_within_seconds{{{FLIGHTS}}}": "1800x60",
        },
        "TidemillSourceStale",
        False,
    ),
    "a source without a limit grows old": (
        {f"tidemill_dataset_source_age_seconds{{{FLIGHTS}}}": "0+60x60"},
        "TidemillSourceStale",
        False,
    ),
    "a source cannot be read for an hour": (
        {CANNOT_BE_READ: "1x60"},
        "TidemillSourceUnavailable",
        True,
    ),
    "two requests in a hundred fail": (
        {
            f'tidemill_requests_total{{{SERVER},code="200"}}': "0+98x60",
            f'tidemill_requests_total{{{SERVER},code="500"}}': "0+2x60",
        },
        "TidemillModelErrors",
        True,
    ),
    "callers' mistakes are not the model's": (
        {
            f'tidemill_requests_total{{{SERVER},code="200"}}': "0+50x60",
            f'tidemill_requests_total{{{SERVER},code="422"}}': "0+50x60",
            f'tidemill_requests_total{{{SERVER},code="500"}}': "0x60",
        },
        "TidemillModelErrors",
        False,
    ),
    "one feature cannot be read in five of a hundred": (
        {
            f'tidemill_feature_invalid_total{{{SERVER},feature="temp"}}': "0+5x60",
            f"tidemill_predictions_total{{{SERVER}}}": "0+100x60",
        },
        "TidemillInputInvalid",
        True,
    ),
    "a feature is unreadable once in a while": (
        {
            f'tidemill_feature_invalid_total{{{SERVER},feature="temp"}}': "0+1x60",
            f"tidemill_predictions_total{{{SERVER}}}": "0+1000x60",
        },
        "TidemillInputInvalid",
        False,
    ),
    "the request log loses entries": (
        {f"tidemill_log_dropped_total{{{SERVER}}}": "0+1x60"},
        "TidemillRequestLogDropping",
        True,
    ),
}


def labels_of(case: str) -> dict[str, str]:
    """The labels the alert carries, beside its severity."""
    at = {"namespace": "flights", "modeldeployment": "delays"}
    return {
        "a source has not changed for an hour, which is longer than it may": {
            "dataset_namespace": "flights",
            "dataset": "flights",
        },
        "an object has been stalled for an hour": {"kind": "TrainingJob"},
        "the operator is forbidden something": {"verb": "list", "kind": "Pod", "code": "403"},
        "two requests in a hundred fail": {**at, "revision": "delays-1"},
        "one feature cannot be read in five of a hundred": {**at, "feature": "temp"},
        "the request log loses entries": at,
    }.get(case, {})


def rule(alert: str) -> dict[str, Any]:
    """One alert as it is shipped."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return next(item for group in groups for item in group["rules"] if item["alert"] == alert)


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    """Run Prometheus' tool."""
    argv = [str(gobuild.ensure("promtool")), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_rules_are_well_formed() -> None:
    done = promtool("check", "rules", "--lint-fatal", str(RULES))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES)
def test_fires(case: str, tmp_path: Path) -> None:
    series, alert, fires = CASES[case]
    shipped = rule(alert)
    bare = {key: value for key, value in shipped.items() if key != "annotations"}
    (tmp_path / "rules.yaml").write_text(
        yaml.safe_dump({"groups": [{"name": "shipped", "rules": [bare]}]})
    )
    wanted = [{"exp_labels": {**shipped["labels"], **labels_of(case)}}] if fires else []
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": k, "values": v} for k, v in series.items()],
                "alert_rule_test": [{"eval_time": "59m", "alertname": alert, "exp_alerts": wanted}],
            }
        ],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))

    done = promtool("test", "rules", str(tmp_path / "test.yaml"))

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_says_what_to_do() -> None:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for item in group["rules"]:
            assert set(item["annotations"]) == {"summary", "description"}
            assert item["annotations"]["summary"].endswith(".")
            assert item["alert"] in {alert for _, alert, fires in CASES.values() if fires}
