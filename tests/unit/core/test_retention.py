"""What may be thrown away: each case names what stays and what goes."""

import pytest

from tests.builders import NAMESPACE, make_execution, stamp
from tidemill.core.plan import Delete
from tidemill.core.retention import Record, newest_first, spent, superfluous


def record(name: str, age: int, *parents: str, deleting: bool = False) -> Record:
    return Record(
        kind="DatasetVersion",
        namespace=NAMESPACE,
        name=name,
        uid=f"uid-{name}",
        created_at=stamp(days=-age),
        parents=parents,
        deleting=deleting,
    )


FIVE = [record("a", 5), record("b", 4, "a"), record("c", 3, "b"), record("d", 2), record("e", 1)]
CASES: dict[str, tuple[set[str], int, set[str]]] = {
    "the newest unused ones are kept": (set(), 2, {"a", "b", "c"}),
    "one in use is kept, and not counted": ({"a"}, 2, {"b", "c"}),
    "the parent of one in use is kept": ({"c"}, 1, {"a", "d"}),
    "the grandparent is not": ({"c"}, 0, {"a", "d", "e"}),
    "enough room keeps all": (set(), 5, set()),
}


@pytest.mark.parametrize(("used", "keep", "gone"), CASES.values(), ids=CASES)
def test_superfluous(used: set[str], keep: int, gone: set[str]) -> None:
    told = superfluous(FIVE, used=used, keep=keep)

    assert {item.name for item in told} == gone


def test_a_record_is_deleted_by_uid() -> None:
    (delete,) = superfluous([record("a", 1)], used=set(), keep=0)

    assert delete == Delete(
        api_version="tidemill.dev/v1alpha1",
        kind="DatasetVersion",
        namespace=NAMESPACE,
        name="a",
        uid="uid-a",
    )


def test_one_that_is_going_already_is_not_deleted_again() -> None:
    assert superfluous([record("a", 1, deleting=True)], used=set(), keep=0) == ()


EXECUTIONS = [
    make_execution("one", ended=stamp(minutes=1)),
    make_execution("two", ended=stamp(minutes=2), state="Failed"),
    make_execution("three", ended=stamp(minutes=3)),
    make_execution("running", state="Running"),
]


def test_the_newest_ended_execution_is_first() -> None:
    assert [i.metadata.name for i in newest_first(EXECUTIONS)] == ["three", "two", "one"]


def test_ended_executions_go_oldest_first() -> None:
    assert [item.name for item in spent(EXECUTIONS, active=(), keep=2)] == ["one"]


def test_an_active_one_neither_goes_nor_counts() -> None:
    assert [item.name for item in spent(EXECUTIONS, active=("one",), keep=1)] == ["two"]


def test_one_that_is_going_is_left_to_go() -> None:
    going = make_execution("going", deletionTimestamp=stamp())

    assert spent([going], active=(), keep=0) == ()
