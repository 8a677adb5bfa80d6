"""`python -m tidemill.serving`: serve a fetched bundle; see `settings` for what it takes."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson

from tidemill.serving.failures import TERMINATION_LOG, Exit, StartError, report
from tidemill.serving.server import serve
from tidemill.serving.settings import ServingSettings


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time, level, logger and message, with the traceback if there is one."""
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def main(arguments: Sequence[str] | None = None, termination_log: Path = TERMINATION_LOG) -> int:
    """Run until told to end, and return the exit code; see `failures.Exit`."""
    try:
        settings = ServingSettings.read(arguments)
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines())
        logging.basicConfig(level=settings.log_level, handlers=[handler])
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        serve(settings)
    except StartError as failure:
        return report(failure, termination_log)
    except Exception as error:
        logging.getLogger(__name__).exception("the server broke")
        said = f"{type(error).__name__}: {error}"
        return report(StartError(Exit.INTERNAL, "InternalError", said), termination_log)
    return 0


if __name__ == "__main__":
    sys.exit(main())
