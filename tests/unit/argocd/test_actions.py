"""Argo CD's actions: what may be asked of an object, and the request that asks it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.argocd.lua import ARGOCD, SCRIPTS, run
from tidemill.api.base import GROUP, REQUEST_ANNOTATION
from tidemill.core import dataset, rolloutrequests, trainingjob

VERBS = {
    "Dataset": dataset.VERBS,
    "TrainingJob": trainingjob.VERBS,
    "ModelDeployment": rolloutrequests.VERBS,
}
# These name a digest that a person has to choose; of a Dataset only the newest waits for approval.
NOT_OFFERED = {"TrainingJob": {"approve"}, "Dataset": {"revoke", "erase"}}


def cases(part: str) -> list[Any]:
    """The cases of one part of every action_test.yaml."""
    return [
        pytest.param(kind, case, id=f"{kind}-{case.get('action', Path(case['inputPath']).stem)}")
        for kind in VERBS
        for case in yaml.safe_load((SCRIPTS / kind / "actions" / "action_test.yaml").read_text())[
            part
        ]
    ]


def read(kind: str, name: str) -> Any:
    """A YAML file of a kind's actions."""
    return yaml.safe_load((SCRIPTS / kind / "actions" / name).read_text())


@pytest.mark.parametrize(("kind", "case"), cases("discoveryTests"))
def test_what_is_offered(kind: str, case: dict[str, Any]) -> None:
    script = (SCRIPTS / kind / "actions" / "discovery.lua").read_text()

    offered = run(script, read(kind, case["inputPath"]))

    assert offered == {one["name"]: {"disabled": one["disabled"]} for one in case["result"]}


@pytest.mark.parametrize(("kind", "case"), cases("actionTests"))
def test_what_is_asked(kind: str, case: dict[str, Any]) -> None:
    script = (SCRIPTS / kind / "actions" / case["action"] / "action.lua").read_text()

    changed = run(script, read(kind, case["inputPath"]), with_os=True)

    assert changed == read(kind, case["expectedOutputPath"])


@pytest.mark.parametrize("kind", VERBS)
def test_an_action_is_a_verb_that_the_operator_understands(kind: str) -> None:
    offered = {path.parent.name for path in (SCRIPTS / kind / "actions").glob("*/action.lua")}

    assert offered == set(VERBS[kind]) - NOT_OFFERED.get(kind, set())


@pytest.mark.parametrize(("kind", "case"), cases("actionTests"))
def test_a_request_names_a_target_where_one_is_needed(kind: str, case: dict[str, Any]) -> None:
    asked = read(kind, case["expectedOutputPath"])["metadata"]["annotations"][REQUEST_ANNOTATION]

    assert ("/" in asked) is VERBS[kind][case["action"]]


@pytest.mark.parametrize("kind", VERBS)
def test_the_patch_holds_the_actions(kind: str) -> None:
    patch = yaml.safe_load((ARGOCD / "argocd-cm.yaml").read_text())["data"]
    folder = SCRIPTS / kind / "actions"

    held = yaml.safe_load(patch[f"resource.customizations.actions.{GROUP}_{kind}"])
    assert held["discovery.lua"] == (folder / "discovery.lua").read_text()
    for one in held["definitions"]:
        assert one["action.lua"] == (folder / one["name"] / "action.lua").read_text()
