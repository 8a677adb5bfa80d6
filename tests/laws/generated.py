"""What is generated from what, and whether it is current.

    python -m tests.laws.generated chart       copy the CRDs into the chart and lint it
    python -m tests.laws.generated manifests   make manifests/base and the Argo CD patch
    python -m tests.laws.generated verify      make everything again in a copy and compare

`verify` removes the generated files from a copy of the work tree, makes them again there, and
compares: what differs, what is missing and what should no longer be there all show.
"""

import argparse
import difflib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from tests.cluster import gobuild

ROOT = Path(__file__).parents[2]
NAMESPACE = "tidemill-system"
KUBERNETES = "1.34.0"
HEADER = "# Generated from charts/tidemill by `make manifests`. Do not edit.\n"
ARGOCD_HEADER = """\
# Generated from resource_customizations by `make manifests`. Do not edit.
#   kubectl patch configmap argocd-cm -n argocd --patch-file manifests/argocd/argocd-cm.yaml
"""

GENERATED = (
    "crds/*",
    "charts/tidemill/files/crds/*",
    "manifests/base/crds.yaml",
    "manifests/base/operator.yaml",
    "manifests/argocd/argocd-cm.yaml",
    "operator/tidemill/pipelines/compiled/*",
)
"""Every file that a generator writes."""


class GeneratorError(Exception):
    """A generator failed, with what it said."""


def crds(root: Path) -> None:
    """crds/ from the models."""
    _python(root, "-m", "tidemill.api.crd", "crds")


def chart(root: Path) -> None:
    """The chart's CRDs from crds/."""
    target = root / "charts" / "tidemill" / "files" / "crds"
    target.mkdir(parents=True, exist_ok=True)
    for stale in target.iterdir():
        stale.unlink()
    for path in sorted((root / "crds").glob("*.yaml")):
        shutil.copyfile(path, target / path.name)


def manifests(root: Path) -> None:
    """manifests/base from the chart with its default values."""
    base = root / "manifests" / "base"
    (base / "crds.yaml").write_text(HEADER + _render(root, "crds.keep=false", only_crds=True))
    (base / "operator.yaml").write_text(HEADER + _render(root, "crds.enabled=false"))


def argocd(root: Path) -> None:
    """One patch of Argo CD's ConfigMap from the scripts in Argo CD's own layout."""
    folder = root / "manifests" / "argocd"
    lines = [ARGOCD_HEADER + "data:"]
    for script in sorted(folder.glob("resource_customizations/*/*/health.lua")):
        group, kind = script.parts[-3:-1]
        lines += [f"  resource.customizations.health.{group}_{kind}: |", *_indented(script, 4)]
        actions = script.parent / "actions"
        if actions.is_dir():
            lines.append(f"  resource.customizations.actions.{group}_{kind}: |")
            lines += ["    discovery.lua: |", *_indented(actions / "discovery.lua", 6)]
            lines.append("    definitions:")
            for action in sorted(actions.glob("*/action.lua")):
                lines += [f"      - name: {action.parent.name}", "        action.lua: |"]
                lines += _indented(action, 10)
    (folder / "argocd-cm.yaml").write_text("\n".join(lines) + "\n")


def _indented(path: Path, spaces: int) -> list[str]:
    return [(" " * spaces + line).rstrip() for line in path.read_text().splitlines()]


def pipelines(root: Path) -> None:
    """The built-in pipelines, compiled by kfp."""
    _python(root, "-m", "tidemill.pipelines", "compile")


GENERATORS: tuple[Callable[[Path], None], ...] = (crds, chart, manifests, argocd, pipelines)
"""In the order in which one is made from another."""


def verify() -> list[str]:
    """What is not as the generators make it, one line or diff each; empty when all is."""
    with tempfile.TemporaryDirectory(prefix="tidemill-verify-") as scratch:
        copy = Path(scratch) / "tree"
        _copy_tree(copy)
        for path in _generated(copy):
            path.unlink()
        for generate in GENERATORS:
            generate(copy)
        return _compare(copy)


def lint_chart(root: Path) -> None:
    """Raise GeneratorError with helm's words when the chart has a flaw."""
    _run([str(gobuild.ensure("helm")), "lint", "--strict", "charts/tidemill"], root)


def _compare(copy: Path) -> list[str]:
    said = []
    theirs = {path.relative_to(copy) for path in _generated(copy)}
    ours = {path.relative_to(ROOT) for path in _generated(ROOT)}
    for name in sorted(theirs | ours):
        if name not in ours:
            said.append(f"{name} is missing")
        elif name not in theirs:
            said.append(f"{name} is made by no generator and should not be there")
        else:
            said += _difference(name, copy)
    return said


def _difference(name: Path, copy: Path) -> list[str]:
    before, after = (ROOT / name).read_text(), (copy / name).read_text()
    if before == after:
        return []
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{name} (here)", f"{name} (made)", lineterm=""
    )
    return ["\n".join(lines)]


def _generated(root: Path) -> list[Path]:
    return sorted(path for glob in GENERATED for path in root.glob(glob) if path.is_file())


def _copy_tree(target: Path) -> None:
    """Copy what Git tracks or would: neither ignored files nor deleted ones."""
    listed = _run(["git", "ls-files", "-z", "-co", "--exclude-standard"], ROOT)
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / name)


def _render(root: Path, setting: str, *, only_crds: bool = False) -> str:
    argv = [
        str(gobuild.ensure("helm")), "template", "tidemill", "charts/tidemill",
        f"--namespace={NAMESPACE}", f"--kube-version={KUBERNETES}", "--set", setting,
    ]  # fmt: skip
    if only_crds:
        argv += ["--show-only", "templates/crds.yaml"]
    bodies = [body for body in yaml.safe_load_all(_run(argv, root)) if body]
    for body in bodies:
        _forget_helm(body)
    return "---\n".join(yaml.safe_dump(body, sort_keys=False, width=100) for body in bodies)


def _forget_helm(body: dict[str, object]) -> None:
    """Take off the labels that speak of a release: kustomize users have none."""
    metadata = body["metadata"]
    if isinstance(metadata, dict):
        labels = metadata.get("labels", {})
        labels.pop("helm.sh/chart", None)
        labels.pop("app.kubernetes.io/managed-by", None)


def _python(root: Path, *words: str) -> str:
    return _run([sys.executable, *words], root)


def _run(argv: Sequence[str], root: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": "operator", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        list(argv), cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise GeneratorError(f"{' '.join(argv)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> int:
    """Run one generator here, or verify them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["chart", "manifests", "verify"])
    what = parser.parse_args().what
    try:
        if what == "chart":
            chart(ROOT)
            lint_chart(ROOT)
        elif what == "manifests":
            manifests(ROOT)
            argocd(ROOT)
        else:
            said = verify()
            sys.stdout.write(
                "\n".join(said) + "\n" if said else "Everything generated is current.\n"
            )
            if said:
                sys.stdout.write("`make generate` brings it up to date; commit what it writes.\n")
            return 1 if said else 0
    except GeneratorError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
