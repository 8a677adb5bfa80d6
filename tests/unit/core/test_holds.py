"""`differences`: what a write would mend, and what it would not."""

from decimal import Decimal

import pytest

from tidemill.core.holds import differences, quantity
from tidemill.core.plan import Body

EQUAL: dict[str, tuple[object, object]] = {
    "the same": ({"a": [1, "x", True]}, {"a": [1, "x", True]}),
    "fields that others have added": ({"a": 1}, {"a": 1, "b": 2}),
    "defaults deep inside": ({"a": {"b": 1}}, {"a": {"b": 1, "protocol": "TCP"}}),
    "an empty text the server leaves out": ({"a": ""}, {}),
    "an empty list the server leaves out": ({"a": []}, {}),
    "false the server leaves out": ({"hostNetwork": False}, {}),
    "a wish for nothing": ({"a": None}, {}),
    "an added sidecar": (
        {"containers": [{"name": "server"}]},
        {"containers": [{"name": "mesh"}, {"name": "server", "tty": False}]},
    ),
    "an added owner": (
        {"ownerReferences": [{"uid": "1"}]},
        {"ownerReferences": [{"uid": "2"}, {"uid": "1"}]},
    ),
    "an added finalizer": ({"finalizers": ["ours"]}, {"finalizers": ["theirs", "ours"]}),
    "a quantity in other words": (
        {"requests": {"cpu": "1000m", "memory": "1024Mi"}},
        {"requests": {"cpu": "1", "memory": "1Gi"}},
    ),
    "a quantity as a number": ({"limits": {"cpu": 2}}, {"limits": {"cpu": "2"}}),
}

DIFFERENT: dict[str, tuple[object, object, str]] = {
    "another value": ({"a": 1}, {"a": 2}, "spec.a"),
    "a value that is not there": ({"a": 1}, {}, "spec.a"),
    "a value where a list should be": ({"a": [1]}, {"a": 1}, "spec.a"),
    "one where true should be": ({"a": True}, {"a": 1}, "spec.a"),
    "zero that the server defaults to one": ({"weight": 0}, {"weight": 1}, "spec.weight"),
    "a longer list of arguments": ({"args": ["a"]}, {"args": ["a", "b"]}, "spec.args"),
    "a rule someone added to our route": (
        {"rules": [{"backendRefs": [{"name": "a"}]}]},
        {"rules": [{"backendRefs": [{"name": "a"}, {"name": "b"}]}]},
        "spec.rules[0].backendRefs",
    ),
    "a container that is gone": (
        {"containers": [{"name": "server"}]},
        {"containers": [{"name": "mesh"}]},
        "spec.containers[0]",
    ),
    "an image that was changed": (
        {"containers": [{"name": "server", "image": "a"}]},
        {"containers": [{"name": "server", "image": "b"}]},
        "spec.containers[0].image",
    ),
    "another quantity": (
        {"requests": {"cpu": "1"}},
        {"requests": {"cpu": "1100m"}},
        "spec.requests.cpu",
    ),
    "text that only looks like a quantity": ({"port": "1000m"}, {"port": "1"}, "spec.port"),
    "a missing finalizer": ({"finalizers": ["ours"]}, {"finalizers": []}, "spec.finalizers"),
}


@pytest.mark.parametrize(("wanted", "live"), EQUAL.values(), ids=EQUAL)
def test_no_write_is_needed_for(wanted: object, live: object) -> None:
    assert differences({"spec": wanted}, {"spec": live}) == ()


@pytest.mark.parametrize(("wanted", "live", "path"), DIFFERENT.values(), ids=DIFFERENT)
def test_a_write_is_needed_for(wanted: object, live: object, path: str) -> None:
    assert differences({"spec": wanted}, {"spec": live}) == (path,)


def test_status_and_preconditions_are_not_compared() -> None:
    wanted: Body = {
        "metadata": {"name": "a", "uid": "1", "resourceVersion": "1"},
        "status": {"ready": True},
    }
    live: Body = {"metadata": {"name": "a", "uid": "2", "resourceVersion": "2"}, "status": {}}

    assert differences(wanted, live) == ()


def test_labels_are_compared() -> None:
    wanted: Body = {"metadata": {"labels": {"a/b": "c"}}}

    assert differences(wanted, {"metadata": {"labels": {}}}) == ("metadata.labels.a/b",)


@pytest.mark.parametrize(
    ("text", "number"),
    [("250m", "0.25"), ("1Ki", "1024"), ("2G", "2000000000"), ("1.5", "1.5"), (3, "3")],
)
def test_quantity(text: object, number: str) -> None:
    assert quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "five", "1Qi", "m"])
def test_what_is_no_quantity(text: str) -> None:
    assert quantity(text) is None
