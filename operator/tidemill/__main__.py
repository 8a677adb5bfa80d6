"""`python -m tidemill run`: run the operator."""

import argparse
import sys
from collections.abc import Sequence

from tidemill import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="tidemill", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run the operator; settings are TIDEMILL_* variables")
    parser.parse_args(arguments)
    return _run()


def _run() -> int:
    from tidemill.settings import Settings
    from tidemill.shell.app import run

    try:
        settings = Settings.from_environment()
    except ValueError as error:
        sys.stderr.write(f"tidemill: {error}\n")
        return 2
    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
