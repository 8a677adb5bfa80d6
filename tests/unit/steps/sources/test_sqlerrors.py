"""What databases say, and what it means."""

import pytest

from tidemill.steps.sources.sqlerrors import failure

CASES = {
    "PostgreSQL: a wrong password": (
        RuntimeError({"C": "28P01", "M": "password authentication failed"}),
        "AccessDenied",
        False,
        "the database refuses: password authentication failed; check the URL in the Secret of"
        " source.sql",
    ),
    "PostgreSQL: it starts": (
        RuntimeError({"C": "57P03", "M": "the database system is starting up"}),
        "SourceUnavailable",
        True,
        "the database cannot be reached: the database system is starting up",
    ),
    "PostgreSQL: a table that is not there": (
        RuntimeError({"C": "42P01", "M": 'relation "x" does not exist'}),
        "InvalidQuery",
        False,
        'table x: relation "x" does not exist; mend source.sql',
    ),
    "MariaDB: a wrong password": (
        RuntimeError(1045, "Access denied for user 'me'"),
        "AccessDenied",
        False,
        "the database refuses: Access denied for user 'me'; check the URL in the Secret of"
        " source.sql",
    ),
    "MariaDB: no such database": (
        RuntimeError(1049, "Unknown database 'x'"),
        "NoObjects",
        False,
        "Unknown database 'x'; check the URL in the Secret of source.sql",
    ),
    "MariaDB: lost on the way": (
        RuntimeError(2013, "Lost connection to MySQL server during query"),
        "SourceUnavailable",
        True,
        "the database cannot be reached: Lost connection to MySQL server during query",
    ),
    "a socket's": (
        ConnectionResetError(104, "Connection reset by peer"),
        "SourceUnavailable",
        True,
        "the database cannot be reached: Connection reset by peer",
    ),
}


@pytest.mark.parametrize(("error", "reason", "transient", "said"), CASES.values(), ids=CASES)
def test_failure(error: Exception, reason: str, transient: bool, said: str) -> None:
    found = failure(error, "table x", str)

    assert (found.reason, found.transient, str(found)) == (reason, transient, said)


def test_secrets_are_taken_out() -> None:
    found = failure(
        RuntimeError(2003, "no secret"), "x", lambda said: said.replace("secret", "***")
    )

    assert str(found) == "the database cannot be reached: no ***"
