from typing import Any

import pytest

from tidemill.shell.packing import Packing

BODIES: dict[str, dict[str, Any]] = {
    "the first of its kind": {"kind": "A", "spec": {"n": 1}},
    "one like the first": {"kind": "A", "spec": {"n": 2}},
    "one of another kind": {"kind": "B", "list": [1, 2.5, None, True, "x"]},
    "one unlike the first": {"kind": "A", "other": {"deep": [{"er": ["x" * 5000]}]}},
    "one with text that is not ASCII": {"kind": "A", "spec": {"naïve": "風力 \u0000 \n"}},
    "the first of its kind, and long": {"kind": "C", "spec": {"words": ["x" * 99, "y"] * 999}},
    "one with great numbers": {"kind": "A", "spec": {"n": 2**63, "m": -(2**53) - 1}},
}


@pytest.mark.parametrize("name", BODIES)
def test_what_is_unpacked_is_what_was_packed(name: str) -> None:
    packing = Packing()
    packed = {other: packing.pack(body) for other, body in BODIES.items()}

    assert packing.unpack(BODIES[name]["kind"], packed[name]) == BODIES[name]


def test_an_object_like_the_first_of_its_kind_takes_a_tenth_of_its_text() -> None:
    packing = Packing()
    words = [f"word {number * 7919 % 1000} of a text" for number in range(100)]
    body: dict[str, Any] = {"kind": "A", "spec": {"words": words}}
    packing.pack(body)

    packed = packing.pack({**body, "metadata": {"name": "second"}})

    assert len(packed) < len(str(body)) / 10
