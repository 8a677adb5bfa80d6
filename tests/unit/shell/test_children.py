"""`spec_hash`: what tells an object made once from another of its name."""

import pytest

from tests.unit.shell.bodies import a_service
from tidemill.core.plan import Body
from tidemill.shell.children import spec_hash


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (a_service("another", uid="u", version=9), True),
        ({**a_service(), "status": {"ready": True}}, True),
        (a_service(port=81), False),
        ({**a_service(), "data": {"a": 1}}, False),
    ],
    ids=["another name", "another status", "another spec", "other data"],
)
def test_the_hash_is_of_what_was_asked_for(other: Body, same: bool) -> None:
    assert (spec_hash(other) == spec_hash(a_service())) is same
