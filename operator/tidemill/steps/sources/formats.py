"""Data formats as the names of files tell them, and globs over such names."""

import re

FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".jsonl": "jsonl",
    ".jsonl.gz": "jsonl",
    ".ndjson": "jsonl",
    ".ndjson.gz": "jsonl",
}


def format_of(name: str) -> str | None:
    """Return csv, jsonl or parquet by the suffix; None if it is none of them."""
    lower = name.lower()
    return next((kind for suffix, kind in FORMATS.items() if lower.endswith(suffix)), None)


def suffix_of(name: str) -> str:
    """The whole suffix of a name that tells its format."""
    return max((one for one in FORMATS if name.lower().endswith(one)), key=len)


def glob_pattern(glob: str) -> re.Pattern[str]:
    """Compile a glob: * and ? stay within one segment of a path, ** crosses them."""
    parts = []
    index = 0
    while index < len(glob):
        rest = glob[index:]
        if rest.startswith("**/"):
            parts.append("(?:.*/)?")
            index += 3
        elif rest.startswith("**"):
            parts.append(".*")
            index += 2
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(rest[0], re.escape(rest[0])))
            index += 1
    return re.compile("".join(parts))
