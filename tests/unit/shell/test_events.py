"""`Storyteller`: each line once."""

from datetime import UTC, datetime

from tests.unit.shell.bodies import a_dataset
from tests.unit.shell.fake_api import FakeApi
from tidemill.core.plan import Event
from tidemill.errors import TerminalError
from tidemill.shell.events import Storyteller, to_body

PROMOTED = Event(reason="Promoted", message="It serves.")


async def test_a_line_is_told_once_in_ten_minutes() -> None:
    api, now = FakeApi(), [0.0]
    teller = Storyteller(api, "pod", clock=lambda: now[0])
    for moment in (0.0, 1.0, 599.0, 600.0, 601.0):
        now[0] = moment
        await teller.tell(a_dataset(), PROMOTED)

    assert len(api.asked) == 2


async def test_other_lines_and_other_objects_are_other_events() -> None:
    api = FakeApi()
    teller = Storyteller(api, "pod", clock=lambda: 0.0)
    await teller.tell(a_dataset(), PROMOTED)
    await teller.tell(a_dataset(), Event(reason="Promoted", message="It serves 25 %."))
    await teller.tell(a_dataset(uid="other"), PROMOTED)

    assert len(api.asked) == 3


async def test_a_line_that_cannot_be_written_troubles_nobody() -> None:
    api = FakeApi()
    api.failures = [("create", TerminalError("Forbidden", "no"))]

    await Storyteller(api, "pod").tell(a_dataset(), PROMOTED)


def test_what_an_event_says() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    body = to_body(
        a_dataset("n" * 253), Event(reason="A", message="m" * 2000, warning=True), "p", now
    )

    assert body["type"] == "Warning"
    assert body["eventTime"] == "2026-01-02T03:04:05.000000Z"
    assert body["reportingController"] == "tidemill.dev/operator"
    assert (len(body["note"]), len(body["metadata"]["name"])) == (1024, 253)
    assert body["regarding"]["uid"] == "uid-tides"
