"""The files of the repository, as Git knows them."""

import ast
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def files(*globs: str) -> list[Path]:
    """Tracked and not ignored files, those under any of the globs or all."""
    argv = ["git", "ls-files", "-z", "-co", "--exclude-standard", "--", *globs]
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return sorted(path for path in paths if path.is_file())


def modules(*globs: str) -> dict[str, ast.Module]:
    """Python files by their path, parsed."""
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text())
        for path in files(*(globs or ("operator", "tests")))
        if path.suffix == ".py"
    }
