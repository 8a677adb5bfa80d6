"""What must not be told of sensitive columns where a library's own words may tell it."""

from collections.abc import Iterator
from contextlib import contextmanager

from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.steps.failures import StepError

_HEAD = " cannot be read as "


@contextmanager
def hushed(spec: DatasetSpec) -> Iterator[None]:
    """Where columns are sensitive, an object that cannot be read is told without the reader's
    words: they quote values, and not of which column.
    """
    try:
        yield
    except StepError as error:
        if not spec.columns.sensitive or error.reason != "UnreadableObject":
            raise
        name, head, rest = str(error).partition(_HEAD)
        kind, colon, words = rest.partition(": ")
        if not head or not colon:
            raise
        why = "why is not shown, as it may hold sensitive values"
        advice = words.rpartition("; ")[2]
        said = f"{name}{head}{kind}; {why}; {advice}"
        raise StepError(error.reason, said, transient=error.transient) from None
