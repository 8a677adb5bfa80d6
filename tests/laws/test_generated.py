"""What is committed is what the generators make."""

from tests.laws import generated


def test_everything_generated_is_current() -> None:
    assert generated.verify() == []
