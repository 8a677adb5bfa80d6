"""A reader's words about sensitive values stay unsaid."""

import pytest

from tests.unit.steps.small import Place, spec, table
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.steps.failures import StepError
from tidemill.steps.hush import hushed


def broken(place: Place, **columns: list[str]) -> DatasetSpec:
    """A csv with a row in the middle that has too few values, and a Dataset of it."""
    place.put("a.csv", table(300))
    file = place.source / "a.csv"
    lines = file.read_text().splitlines()
    lines[150] = "r150,secret word"
    file.write_text("\n".join(lines))
    body = spec(place.uri).to_wire()
    body["columns"] |= {"context": [], **columns}
    return DatasetSpec.model_validate(body)


def test_what_a_reader_says_is_told(place: Place) -> None:
    with pytest.raises(StepError) as raised:
        place.snapshot(broken(place))

    assert raised.value.reason == "UnreadableObject"
    assert "not shown" not in str(raised.value)


def test_where_columns_are_sensitive_it_is_not(place: Place) -> None:
    with pytest.raises(StepError) as raised:
        place.snapshot(broken(place, sensitive=["note"]))

    assert raised.value.reason == "UnreadableObject"
    assert str(raised.value).endswith(
        "a.csv cannot be read as csv; why is not shown, as it may hold sensitive values;"
        " mend it, or list it in source.objects.exclude"
    )
    assert raised.value.__cause__ is None


SAID = "a.csv cannot be read as csv: line 3 has 'west'; mend it"


@pytest.mark.parametrize(
    "error",
    [StepError("TypeMismatch", SAID), StepError("UnreadableObject", "a.csv is truncated")],
    ids=["another failure", "other words"],
)
def test_nothing_else_is_changed(error: StepError) -> None:
    body = spec("s3://b/*").to_wire()
    body["columns"] |= {"sensitive": ["note"], "context": []}

    with pytest.raises(StepError) as raised, hushed(DatasetSpec.model_validate(body)):
        raise error

    assert raised.value is error
