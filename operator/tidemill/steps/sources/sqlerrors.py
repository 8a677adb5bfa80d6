"""What a database's refusal means, in its own words.

Codes are SQLSTATE where the driver tells it (PostgreSQL), else the server's number (MariaDB).
"""

import re
from collections.abc import Callable

from tidemill.steps.failures import StepError

_DENIED = re.compile(r"28...|42501|1044|1045|1142|1143|1227|1698|3159")
_GONE = re.compile(
    r"08...|53...|57P..|57014|40001|40P01|1040|1053|1129|1158|1159|1160|1161|1203|1205|1213|2\d\d\d"
)
_NO_DATABASE = re.compile(r"3D000|1049")


def _code(error: BaseException) -> str:
    first = error.args[0] if error.args else ""
    return str(first.get("C", "")) if isinstance(first, dict) else str(first)


def _words(error: BaseException) -> str:
    first = error.args[0] if error.args else ""
    if isinstance(first, dict):
        return str(first.get("M", "")) or type(error).__name__
    if isinstance(first, int) and len(error.args) > 1 and error.args[1]:
        return str(error.args[1])
    return str(error) or type(error).__name__


def failure(error: BaseException, asked: str, plain: Callable[[str], str]) -> StepError:
    """The StepError for what a driver has raised; `plain` takes secrets out of its words."""
    code, said = _code(error), plain(_words(error))
    if _DENIED.fullmatch(code):
        told = f"the database refuses: {said}; check the URL in the Secret of source.sql"
        return StepError("AccessDenied", told)
    if _NO_DATABASE.fullmatch(code):
        return StepError("NoObjects", f"{said}; check the URL in the Secret of source.sql")
    lost = type(error).__name__ == "InterfaceError" or isinstance(error, OSError)
    if lost or _GONE.fullmatch(code):
        return StepError(
            "SourceUnavailable", f"the database cannot be reached: {said}", transient=True
        )
    return StepError("InvalidQuery", f"{asked}: {said}; mend source.sql")
