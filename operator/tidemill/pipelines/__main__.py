"""`python -m tidemill.pipelines compile [DIRECTORY]`: write the compiled pipelines."""

import sys
from pathlib import Path

from kfp import compiler

from tidemill.pipelines.definitions import PIPELINES

COMPILED = Path(__file__).parent / "compiled"


def compile_all(directory: Path) -> list[Path]:
    """Write <name>.yaml for every pipeline; the same each time."""
    directory.mkdir(parents=True, exist_ok=True)
    files = []
    for pipeline in PIPELINES:
        file = directory / f"{pipeline.name}.yaml"
        compiler.Compiler().compile(pipeline, str(file))
        files.append(file)
    return files


def main(arguments: list[str]) -> int:
    """Run the command line."""
    if arguments[:1] != ["compile"] or len(arguments) > 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    directory = Path(arguments[1]) if len(arguments) == 2 else COMPILED
    for file in compile_all(directory):
        sys.stdout.write(f"{file}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
