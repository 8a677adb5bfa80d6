"""Growth and schema changes wait for a person; each request is acted on once, or says why not."""

from typing import Any

import pytest

from tests.builders import (
    COLUMNS,
    VIOLATION,
    make_dataset,
    make_snapshot,
    make_version,
    sha,
    stamp,
    version_name,
)
from tests.unit.core.world import World
from tidemill.api.v1alpha1 import DatasetVersion
from tidemill.core.acceptance import contract_hash
from tidemill.core.approval import growth

WINTER, SUMMER, AUTUMN = version_name(), version_name("summer"), version_name("autumn")
SCHEMA: dict[str, Any] = {
    "name": "Schema",
    "rule": "Schema",
    "reason": "TypeChanged",
    "severity": "Fail",
    "column": "carrier",
    "message": "carrier: expected String, observed Integer",
}
CHANGED = [*COLUMNS[:4], {**COLUMNS[4], "type": "Integer"}]


def grown(rows: int, **contract: str) -> str | None:
    version = make_version(rows=rows, predecessor={"name": WINTER, "rows": 1000})
    return growth(make_dataset(spec={"contract": contract}).spec.contract, version.spec)


BEFORE = f"{WINTER} before it 1,000: "
GROWTH: dict[str, tuple[str | None, str | None]] = {
    "ten times as many rows pass": (grown(10000), None),
    "more than that do not": (
        grown(10001),
        f"It has 10,001 rows, {BEFORE}10 times as many, which is more than contract.maxGrowth: 10.",
    ),
    "the contract may let pass more": (grown(10001, maxGrowth="10.5"), None),
    "or less": (
        grown(1300, maxGrowth="1.25"),
        f"It has 1,300 rows, {BEFORE}1.3 times as many, which is more than"
        " contract.maxGrowth: 1.25.",
    ),
    "few rows pass": (grown(1), None),
    "unless the contract says otherwise": (
        grown(99, maxShrink="10"),
        f"It has 99 rows, {BEFORE}10.1 times fewer, which is more than contract.maxShrink: 10.",
    ),
    "a tenth is not less than a tenth": (grown(100, maxShrink="10"), None),
}


@pytest.mark.parametrize(("told", "wanted"), GROWTH.values(), ids=GROWTH)
def test_growth(told: str | None, wanted: str | None) -> None:
    assert told == wanted


def test_a_first_version_has_not_grown() -> None:
    assert growth(make_dataset().spec.contract, make_version(rows=10**9).spec) is None


# --- in a world --------------------------------------------------------------------------------


def loaded(**spec: Any) -> World:
    """A world with a Dataset whose first version is accepted."""
    world = World(decided=("Dataset", "DatasetVersion"))
    world.user(make_dataset(spec=spec))
    world.settle()
    world.succeed(make_snapshot())
    world.settle()
    return world


def ask(world: World, what: str) -> str:
    """A person asks for something now."""
    text = f"{what}@{world.now.isoformat()}"
    world.annotate("Dataset", "flights", text)
    return text


def bring(world: World, content: str, **more: Any) -> None:
    """A refresh is asked for and brings this."""
    world.later(minutes=1)
    ask(world, "refresh")
    world.settle()
    anchor = world.dataset().status.schema_anchor
    hashed = contract_hash(world.dataset().spec, anchor)
    world.succeed(make_snapshot(content, contractHash=hashed, **more))
    world.settle()
    world.later(minutes=1)


def version(world: World, name: str) -> DatasetVersion:
    return DatasetVersion.parse(world.objects[("DatasetVersion", name)])


def accepted(world: World, name: str) -> tuple[str, str, str]:
    """Status, reason and message of a version's Accepted condition."""
    told = {item.type: item for item in version(world, name).status.conditions}["Accepted"]
    return told.status, told.reason, told.message


def told(world: World) -> dict[str, str]:
    """The reasons of the Dataset's conditions."""
    return {item.type: item.reason for item in world.dataset().status.conditions}


def in_use(world: World) -> str | None:
    used = world.dataset().status.accepted
    return None if used is None else used.name


BIG = 77911 * 11
COMMAND = (
    " If it is right, approve it: kubectl annotate dataset flights -n tides --overwrite"
    f" tidemill.dev/request=approve/{SUMMER}@$(date -u +%Y-%m-%dT%H:%M:%SZ)"
)


def test_a_version_that_has_grown_too_much_waits() -> None:
    world = loaded()

    bring(world, "summer", rows=BIG)

    assert accepted(world, SUMMER) == (
        "Unknown",
        "GrowthNeedsApproval",
        f"It has 857,021 rows, {WINTER} before it 77,911: 11 times as many, which is more than"
        f" contract.maxGrowth: 10.{COMMAND}",
    )
    assert in_use(world) == WINTER
    assert told(world)["Accepted"] == "GrowthNeedsApproval"
    assert told(world)["Ready"] == "LastGoodInUse"
    assert "Stalled" not in told(world)
    assert ("Dataset/flights", "GrowthNeedsApproval") in world.events
    assert world.settle() == []


@pytest.mark.parametrize("target", [SUMMER, sha("summer")], ids=["by name", "by digest"])
def test_an_approval_releases_it(target: str) -> None:
    world = loaded()
    bring(world, "summer", rows=BIG)

    request = ask(world, f"approve/{target}")
    world.settle()

    assert accepted(world, SUMMER) == (
        "True",
        "ApprovedByHand",
        f"A person approved its size by the request {request}.",
    )
    approval = version(world, SUMMER).status.approved
    assert approval is not None
    assert approval.to_wire() == {
        "request": request,
        "at": stamp(minutes=2),
        "of": "GrowthNeedsApproval",
    }
    assert world.dataset().status.request == request
    assert in_use(world) == SUMMER
    assert world.dataset().status.schema_anchor == WINTER
    assert world.running() == []
    assert world.settle() == []


def test_what_was_approved_is_what_the_next_is_measured_by() -> None:
    world = loaded()
    bring(world, "summer", rows=BIG)
    ask(world, f"approve/{SUMMER}")
    world.settle()

    bring(world, "autumn", rows=BIG * 2)

    assert accepted(world, AUTUMN)[:2] == ("True", "ContractKept")


def test_a_raised_limit_releases_it_too() -> None:
    world = loaded()
    bring(world, "summer", rows=BIG, violations=[{**VIOLATION, "severity": "Warn"}])
    assert accepted(world, SUMMER)[1] == "GrowthNeedsApproval"

    contract = make_dataset().spec.contract.to_wire()
    world.user(make_dataset(spec={"contract": {**contract, "maxGrowth": "11"}}))
    world.settle()

    assert accepted(world, SUMMER)[:2] == ("True", "AcceptedWithWarnings")
    assert in_use(world) == SUMMER
    assert version(world, SUMMER).status.contract is None


def test_a_lowered_limit_takes_nothing_back() -> None:
    world = loaded()
    bring(world, "summer", rows=77911 * 2)

    contract = make_dataset().spec.contract.to_wire()
    world.user(make_dataset(spec={"contract": {**contract, "maxGrowth": "1"}}))
    world.settle()

    assert accepted(world, SUMMER)[0] == "True"


def test_an_expectation_comes_before_growth() -> None:
    world = loaded()

    bring(world, "summer", rows=BIG, violations=[VIOLATION])

    assert accepted(world, SUMMER)[:2] == ("False", "ContractBroken")


def test_a_changed_schema_waits_and_its_approval_makes_it_the_schema() -> None:
    world = loaded()
    bring(world, "summer", violations=[SCHEMA], columns=CHANGED)
    assert accepted(world, SUMMER) == (
        "False",
        "SchemaNeedsApproval",
        f"Schema: carrier: expected String, observed Integer.{COMMAND}",
    )
    assert in_use(world) == WINTER

    request = ask(world, f"approve/{SUMMER}")
    world.settle()

    assert accepted(world, SUMMER) == (
        "True",
        "ApprovedByHand",
        f"A person approved its schema by the request {request}.",
    )
    assert world.dataset().status.schema_anchor == SUMMER
    assert in_use(world) == SUMMER
    assert world.settle() == []

    bring(world, "autumn", columns=CHANGED)

    assert accepted(world, AUTUMN)[:2] == ("True", "ContractKept")
    assert accepted(world, SUMMER)[1] == "ApprovedByHand"
    assert world.dataset().status.schema_anchor == SUMMER


def test_the_first_read_of_a_spec_that_waits_is_stalled_until_it_is_approved() -> None:
    world = loaded()
    world.user(make_dataset(spec={"contract": {"schema": {"evolution": "None"}}}))
    world.settle()
    hashed = contract_hash(world.dataset().spec, WINTER)
    world.succeed(make_snapshot("summer", violations=[SCHEMA], contractHash=hashed))
    world.settle()
    assert told(world)["Stalled"] == "SchemaNeedsApproval"

    world.later(minutes=1)
    ask(world, f"approve/{SUMMER}")
    world.settle()

    assert "Stalled" not in told(world)
    assert told(world)["Ready"] == "InUse"


def test_a_schema_that_has_also_grown_says_both_and_one_approval_covers_both() -> None:
    world = loaded()
    bring(world, "summer", violations=[SCHEMA], columns=CHANGED, rows=BIG)
    message = accepted(world, SUMMER)[2]
    assert "expected String, observed Integer. It has 857,021 rows" in message

    ask(world, f"approve/{SUMMER}")
    world.settle()

    assert accepted(world, SUMMER)[:2] == ("True", "ApprovedByHand")


def test_a_contract_changed_later_does_not_take_an_approval_back() -> None:
    world = loaded()
    bring(world, "summer", rows=BIG)
    ask(world, f"approve/{SUMMER}")
    world.settle()

    world.later(minutes=1)
    world.user(make_dataset(spec={"contract": {"schema": {"evolution": "None"}}}))
    world.settle()

    assert accepted(world, SUMMER)[:2] == ("True", "ApprovedByHand")


def ignored(world: World, what: str) -> list[tuple[str, str]]:
    request = ask(world, what)
    before = len(world.events)
    world.settle()
    assert world.dataset().status.request == request
    return world.events[before:]


IGNORED = [("Dataset/flights", "RequestIgnored")]


def test_an_approval_of_nothing_is_ignored() -> None:
    assert ignored(loaded(), "approve/flights-00000000") == IGNORED


def test_an_approval_of_what_is_accepted_is_ignored() -> None:
    assert ignored(loaded(), f"approve/{WINTER}") == IGNORED


def test_an_approval_of_a_broken_expectation_is_ignored() -> None:
    world = loaded()
    bring(world, "summer", violations=[VIOLATION, SCHEMA])

    assert ignored(world, f"approve/{SUMMER}") == IGNORED
    assert accepted(world, SUMMER)[:2] == ("False", "ContractBroken")


def test_an_approval_that_is_too_old_is_ignored() -> None:
    world = loaded()
    bring(world, "summer", rows=BIG)
    request = ask(world, f"approve/{SUMMER}")
    world.later(minutes=16)

    world.settle()

    assert accepted(world, SUMMER)[0] == "Unknown"
    assert world.dataset().status.request == request


def test_an_approval_without_a_target_is_ignored() -> None:
    assert ignored(loaded(), "approve") == IGNORED


def test_the_message_never_loses_its_command() -> None:
    world = loaded()
    long = {**SCHEMA, "message": "x" * 1024}

    bring(world, "summer", violations=[long] * 5)

    assert accepted(world, SUMMER)[2].endswith(COMMAND)
    message = {item.type: item.message for item in world.dataset().status.conditions}["Accepted"]
    assert message.endswith(COMMAND)
