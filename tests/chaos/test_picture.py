"""What counts as a difference between two runs, and what does not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.chaos.picture import Masks, Picture, differences

BEGAN = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
DIGEST = f"sha256:{'a' * 64}"


def picture(namespace: str = "tide-1", uid: str = "one", **status: Any) -> Picture:
    """A namespace with one execution of a hash in its name."""
    masks = Masks(
        namespace=namespace,
        cluster="this-cluster",
        root="file:///store",
        digests={DIGEST: f"file:///store/this-cluster/{namespace}/runs/{uid}/1/result.json"},
        since=datetime.now(UTC) - timedelta(minutes=1),
    )
    name = f"flights-{uid}"
    body = {
        "kind": "PipelineExecution",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid,
            "annotations": {"tidemill.dev/spec-hash": uid},
        },
        "spec": {"pipeline": {"builtin": "evaluate"}},
        "status": {"runId": f"{name}-1", **status},
    }
    return masks.of([body])


def test_names_uids_digests_and_times_of_the_run_are_no_difference() -> None:
    now = datetime.now(UTC)
    one = picture(result={"digest": DIGEST}, ended=f"{now:%Y-%m-%dT%H:%M:%SZ}")
    later = now + timedelta(minutes=2)

    other = picture("tide-2", "two", result={"digest": DIGEST}, ended=f"{later:%Y-%m-%dT%H:%M:%SZ}")

    assert list(one) == ["PipelineExecution <evaluate>"]
    assert differences(one, other) == []


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ({"state": "Failed"}, '.status.state: "Failed" instead of "Succeeded"'),
        ({}, '.status.state: null instead of "Succeeded"'),
        (
            {"state": "Succeeded", "ended": "2013-01-01T00:00:00Z"},
            '.status.ended: "2013-01-01T00:00:00Z" instead of null',
        ),
        (
            {"state": "Succeeded", "result": f"sha256:{'b' * 64}"},
            f'.status.result: "sha256:{"b" * 64}" instead of null',
        ),
    ],
    ids=["another value", "a missing one", "another time", "an unknown digest"],
)
def test_anything_else_is(status: dict[str, Any], line: str) -> None:
    found = differences(picture(state="Succeeded"), picture(**status))

    assert found == [f"PipelineExecution <evaluate>{line}"]


def test_an_object_too_many_is_named() -> None:
    both = {**picture(), "Job other": {"kind": "Job"}}

    assert differences(picture(), both) == ["Job other is there and should not be"]
    assert differences(both, picture()) == ["Job other is missing"]
