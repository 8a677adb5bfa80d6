"""What the server is told: a field is the flag --field-name and the variable TIDEMILL_FIELD_NAME.

The sole reader of os.environ in this package; a flag wins over its variable.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from tidemill.serving.failures import Exit, StartError


def _said(text: str, default: Any, least: float = 0, most: float = float("inf")) -> Any:
    """A field with its description, default and, for a number, bounds."""
    return field(default=default, metadata={"said": text, "least": least, "most": most})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSettings:
    """What one server serves, and within what bounds."""

    model_name: str = _said("name the model answers to: the ModelDeployment's", "")
    model_dir: str = _said("directory with the fetched bundle", "/mnt/models")
    revision: str = _said("the model's version in answers; empty: from its digest", "")
    listen_port: int = _said("port of everything it answers; 0: any free one", 8080, 0, 65535)
    threads: int = _said("threads of ONNX Runtime and for long predictions", 1, 1, 64)
    max_rows: int = _said("most rows in one request", 10_000, 1, 1_000_000)
    max_body_bytes: int = _said("longest request body", 4 << 20, 1024, 1 << 30)
    max_concurrency: int = _said("most requests in work at once; more get 429", 128, 1, 100_000)
    body_seconds: float = _said("how long a request body may take to arrive", 30.0, 0.1, 3600)
    drain_seconds: float = _said("how long to serve on after SIGTERM", 10.0, 0, 3600)
    finish_seconds: float = _said("how long requests may then take to end", 20.0, 0.1, 3600)
    request_log_uri: str = _said("prefix of the request log; empty: none is kept", "")
    request_log_sample: float = _said("share of requests kept, by hash of id", 1.0, 0, 1)
    request_log_keep_seconds: int = _said("how long they are kept", 5_184_000, 1)
    request_log_rows: int = _said("most rows of one log file", 5000, 1, 1_000_000)
    request_log_seconds: float = _said("longest time between two log files", 60.0, 0.05, 86_400)
    request_log_queue: int = _said("most rows waiting to be logged; more are dropped", 20_000, 1)
    pod_name: str = _said("part of the names of log files; empty: the host's name", "")
    log_level: str = _said("DEBUG, INFO, WARNING or ERROR", "INFO")

    @classmethod
    def read(
        cls,
        arguments: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> "ServingSettings":
        """Read flags and variables. Raises StartError that names the field and its bounds."""
        env = os.environ if environment is None else environment
        parser = argparse.ArgumentParser(prog="python -m tidemill.serving", description=__doc__)
        for item in fields(cls):
            said = f"{item.metadata['said']} (default: {item.default!r})"
            parser.add_argument(_flag(item), dest=item.name, help=said)
        flags = vars(parser.parse_args(arguments))
        given: dict[str, Any] = {}
        for item in fields(cls):
            variable = f"TIDEMILL_{item.name.upper()}"
            if flags[item.name] is not None:
                given[item.name] = _parse(item, _flag(item), flags[item.name])
            elif variable in env:
                given[item.name] = _parse(item, variable, env[variable])
        if not given.get("pod_name"):
            given["pod_name"] = env.get("HOSTNAME") or os.uname().nodename
        settings = cls(**given)
        if not settings.model_name or "/" in settings.model_name:
            raise _usage(f"TIDEMILL_MODEL_NAME is {settings.model_name!r}; it must be a name")
        if settings.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            said = f"TIDEMILL_LOG_LEVEL is {settings.log_level!r}"
            raise _usage(f"{said}; it must be DEBUG, INFO, WARNING or ERROR")
        return settings

    @property
    def model_path(self) -> Path:
        """The directory with the fetched bundle."""
        return Path(self.model_dir)


def _flag(item: "Field[Any]") -> str:
    return f"--{item.name.replace('_', '-')}"


def _usage(message: str) -> StartError:
    return StartError(Exit.USAGE, "InvalidSettings", message)


def _parse(item: "Field[Any]", source: str, text: str) -> str | int | float:
    if isinstance(item.default, str):
        return text
    kind = int if isinstance(item.default, int) else float
    least, most = item.metadata["least"], item.metadata["most"]
    bounds = f"at least {least:g}" if most == float("inf") else f"from {least:g} to {most:g}"
    try:
        value: int | float = kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise _usage(f"{source} is {text!r}; it must be {what} {bounds}") from None
    if not least <= value <= most:
        raise _usage(f"{source} is {text}; it must be {bounds}")
    return value
