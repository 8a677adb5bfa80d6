"""Causes and their keys."""

from tests.builders import make_dataset, stamp
from tidemill.api.v1alpha1.dataset import HandledCause
from tidemill.core.causes import given, handled, key_of_returned, last_spent, shape, spend

SPEC = HandledCause(cause="Spec", key="abc", at=stamp(), outcome="Succeeded")
TICK = HandledCause(cause="Schedule", key=stamp(), at=stamp(hours=1), outcome="Unchanged")


def test_a_returned_spec_has_the_shape_it_had() -> None:
    assert (shape("abc"), shape(key_of_returned("abc", 7))) == ("abc", "abc")


def test_the_newest_of_a_kind_replaces_the_one_before() -> None:
    later = HandledCause(cause="Spec", key="def", at=stamp(hours=2))

    assert spend((SPEC, TICK), later) == (later, TICK)
    assert handled((later, TICK), "Spec") == later
    assert handled((TICK,), "Spec") is None


def test_the_last_spent_is_the_newest_whatever_the_order() -> None:
    assert last_spent((SPEC, TICK)) == TICK
    assert last_spent(()) is None


def test_of_one_second_the_first_in_the_list_is_the_last_spent() -> None:
    twin = TICK.model_copy(update={"cause": "Manual"})

    assert last_spent((twin, TICK)) == twin


def test_defaults_are_not_given() -> None:
    assert given(make_dataset().spec.refresh) == {}
    assert given(make_dataset(spec={"refresh": {"suspend": False}}).spec.refresh) == {}
    assert given(make_dataset(spec={"refresh": {"suspend": True}}).spec.refresh) == {
        "suspend": True
    }
