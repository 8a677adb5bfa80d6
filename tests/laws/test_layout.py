"""Where things are, what they are called, and what may not stand in them."""

import ast
import re

import pytest

from tests.laws.tree import ROOT, files, modules

TOP_LEVEL = {
    "operator", "crds", "manifests", "tests", "charts",
    "Makefile", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md",
}  # fmt: skip
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "manager", "misc", "common"}
MAX_LINES = 60
# In two parts each, so that this file does not break its own law.
MACHINE = re.compile(r"(?<![\w.])/(wo" + "rk|ho" + "me|ro" + "ot|fa" + r"rm)/[a-z.]")
REGISTRIES = re.compile(
    "|".join(["docker" + r"\.io", "ghcr" + r"\.io", "quay" + r"\.io", r"\bgcr" + r"\.io"])
)
UNFINISHED = re.compile(r"\b(TO" + "DO|FIX" + "ME|XX" + "X|NotImplemented" + r"Error)\b")
NOT_RUN = re.compile(r"pytest\.sk" + r"ip|mark\.(sk" + "ip|xf" + "ail)|import" + "orskip")
PRODUCT = ("operator/", "charts/", "crds/", "manifests/")
LOCKS = {".sum", ".lock"}


def texts() -> dict[str, str]:
    """Every text file but lock files, by its path."""
    found = {}
    for path in files():
        if path.suffix in LOCKS:
            continue
        try:
            found[str(path.relative_to(ROOT))] = path.read_text()
        except UnicodeDecodeError:
            continue
    return found


def matches(pattern: re.Pattern[str], prefixes: tuple[str, ...] = ("",)) -> list[str]:
    """`path:line: text` of every line that matches."""
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts().items()
        if name.startswith(prefixes)
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def test_top_level_is_the_agreed_one() -> None:
    found = {path.relative_to(ROOT).parts[0] for path in files()}

    assert {name for name in found if not name.startswith(".")} == TOP_LEVEL


def test_operator_is_no_package() -> None:
    """With an __init__.py it would stand in the way of the standard library's `operator`."""
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_no_module_has_an_empty_name() -> None:
    names = {name: name.rsplit("/", 1)[-1].removesuffix(".py") for name in modules()}

    assert [path for path, name in names.items() if name in EMPTY_NAMES] == []


def test_every_module_says_what_it_is() -> None:
    silent = [name for name, tree in modules("operator").items() if not ast.get_docstring(tree)]

    assert silent == []


def test_every_function_fits_on_a_screen() -> None:
    long = [
        f"{name}:{node.lineno} {node.name}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= MAX_LINES
    ]

    assert long == []


@pytest.mark.parametrize(
    ("pattern", "prefixes"),
    [
        pytest.param(MACHINE, ("",), id="no path of somebody's machine"),
        pytest.param(REGISTRIES, PRODUCT, id="no registry is taken for granted"),
        pytest.param(UNFINISHED, (*PRODUCT, "tests/"), id="nothing is left undone"),
        pytest.param(NOT_RUN, ("tests/",), id="every test runs"),
    ],
)  # fmt: skip
def test_nowhere(pattern: re.Pattern[str], prefixes: tuple[str, ...]) -> None:
    assert matches(pattern, prefixes) == []


def test_one_module_reads_the_environment() -> None:
    """In the operator; what runs in pods is configured by its own variables."""
    readers = [
        name
        for name, tree in modules("operator/tidemill").items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in ("environ", "getenv")
        and not name.startswith(("operator/tidemill/steps/", "operator/tidemill/serving/"))
    ]

    assert set(readers) <= {"operator/tidemill/settings.py"}
