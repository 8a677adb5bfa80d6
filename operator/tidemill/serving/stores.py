"""Object stores, named by URI; credentials and endpoints come from the environment (AWS_*)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore.exceptions
from obstore.store import ObjectStore, from_url

from tidemill.serving.failures import Exit, StartError

if TYPE_CHECKING:
    from obstore.store import RetryConfig

RETRY: "RetryConfig" = {"max_retries": 6, "retry_timeout": timedelta(seconds=60)}
"""How often and for how long a request to a store is tried again; about ten seconds in all."""


def open_store(uri: str) -> ObjectStore:
    """Open the store whose root is this prefix. Raises StartError on a URI it cannot be."""
    try:
        if urlsplit(uri).scheme == "file":
            return from_url(uri)
        return from_url(uri, retry_config=RETRY)
    except FileNotFoundError as error:
        raise StartError(Exit.NOT_FOUND, "NotFound", f"{plain(uri)} is not there") from error
    except (obstore.exceptions.BaseError, ValueError) as error:
        said = f"{plain(uri)} cannot be opened: {first_line(error)}"
        raise StartError(Exit.USAGE, "InvalidUri", said) from error


def plain(text: str) -> str:
    """Return the text without queries and user names of URLs: they may be credentials."""
    return re.sub(r"//[^/@\s]*@", "//", re.sub(r"\?[^\s\"')]*", "", text))


def first_line(error: BaseException) -> str:
    """Return what went wrong in one line, without credentials and without the debug dump."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return plain(lines[0])[:400]


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """Turn what obstore raises about this object into a StartError that says what to do."""
    where = plain(uri)
    try:
        yield
    except FileNotFoundError as error:
        said = f"{where} is not there; check the bundle's URI"
        raise StartError(Exit.NOT_FOUND, "NotFound", said) from error
    except (
        obstore.exceptions.PermissionDeniedError,
        obstore.exceptions.UnauthenticatedError,
    ) as error:
        said = f"{where} may not be read with the credential given; check the artifact Secret"
        raise StartError(Exit.ACCESS_DENIED, "AccessDenied", said) from error
    except obstore.exceptions.BaseError as error:
        said = f"{where} cannot be read: {first_line(error)}"
        raise StartError(Exit.UNAVAILABLE, "StoreUnavailable", said) from error
