"""However streams, lists and answers to own writes interleave, the store ends at the truth."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.shell.bodies import a_dataset
from tidemill.core.plan import Body
from tidemill.shell.store import Key, Store

TIDES = Key("Dataset", "sea", "tides")


@dataclass(frozen=True)
class Step:
    """What happened at one version: the object was written, or deleted."""

    body: Body
    gone: bool


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """The life of one name: objects that come, change, go, and come again with another uid."""
    steps: list[Step] = []
    uid, alive = 0, False
    for version in range(10, 10 + draw(st.integers(1, 12))):
        dies = alive and draw(st.booleans())
        if not alive:
            uid += 1
        steps.append(Step(a_dataset(uid=f"uid-{uid}", version=version), dies))
        alive = not dies
    return steps


def truth(history: list[Step]) -> Body | None:
    last = history[-1]
    return None if last.gone else last.body


def listed(store: Store, history: list[Step], upto: int) -> None:
    """A list taken after so many steps."""
    there = truth(history[:upto]) if upto else None
    version = int(history[upto - 1].body["metadata"]["resourceVersion"]) if upto else 9
    if there is not None:
        store.put(there)
    seen = {TIDES: there["metadata"]["uid"]} if there is not None else {}
    store.retain("Dataset", "", seen, version)


def deliver(store: Store, step: Step) -> None:
    if step.gone:
        store.remove(step.body)
    else:
        store.put(step.body)


MOVES = st.lists(
    st.tuples(st.sampled_from(["first", "second", "list", "answer"]), st.integers(0, 11)),
    max_size=30,
)


@given(histories(), MOVES)
def test_two_streams_lists_and_answers_in_any_order_end_at_the_truth(
    history: list[Step], moves: list[tuple[str, int]]
) -> None:
    store = Store()
    streams = {"first": list(history), "second": list(history)}
    written = [step for step in history if not step.gone]
    for what, number in moves:
        if what == "list":
            listed(store, history, number % (len(history) + 1))
        elif what == "answer" and written:
            deliver(store, written[number % len(written)])
        elif streams.get(what):
            deliver(store, streams[what].pop(0))
    for rest in streams.values():
        for step in rest:
            deliver(store, step)

    held = store.get(*TIDES)
    expected = truth(history)
    assert (held and held["metadata"]) == (expected and expected["metadata"])


@given(histories(), st.data())
def test_a_stream_that_lost_its_place_and_a_list_end_at_the_truth(
    history: list[Step], data: st.DataObject
) -> None:
    store = Store()
    for step in history:
        if data.draw(st.booleans()):
            deliver(store, step)

    listed(store, history, len(history))

    held = store.get(*TIDES)
    expected = truth(history)
    assert (held and held["metadata"]) == (expected and expected["metadata"])


@given(histories(), st.data())
def test_the_store_never_goes_back(history: list[Step], data: st.DataObject) -> None:
    store, last = Store(), 0
    for step in data.draw(st.permutations(history)):
        deliver(store, step)
        record = store.record(TIDES)
        if record is not None:
            assert record.version >= last
            last = record.version
