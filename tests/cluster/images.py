"""The project's images, built without Docker and without a registry, and put into the node.

buildah does the work; where there is no registry to pull a Python image from, debootstrap makes
one from Debian's packages, once.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.cluster import downloads, progress
from tests.cluster.commands import ClusterError, output, run
from tests.cluster.layout import cache_dir
from tests.cluster.runtime import Runtime

PYTHON_BASE = "localhost/python-base:bookworm"
_SUITE = "bookworm"
_PACKAGES = "python3,python3-venv,ca-certificates"
_CERTIFICATES = Path("/etc/ssl/certs")
_BUNDLE = _CERTIFICATES / "ca-certificates.crt"
_SKIPPED = {".git", ".venv", "__pycache__", "node_modules"}


def build_image(
    dockerfile: Path,
    target: str,
    tag: str,
    context: Path,
    build_args: Mapping[str, str] | None = None,
    *,
    inputs: Iterable[str] = (".",),
) -> str:
    """Build one target of a Dockerfile and return its tag; at once when nothing has changed.

    `inputs` are the parts of the context that the image is made from: a change elsewhere in the
    context then does not count.
    """
    downloads.ensure_debian_packages()
    arguments = dict(build_args or {})
    if arguments.get("BASE") == PYTHON_BASE:
        ensure_base()
    wanted = build_fingerprint(dockerfile, target, context, arguments, inputs)
    mark = cache_dir() / "built" / tag.replace("/", "_")
    image = image_id(tag)
    if image and mark.exists() and mark.read_text() == f"{wanted} {image}":
        return tag
    with progress.step(f"build image {tag}"):
        _bud(dockerfile, target, tag, context, arguments)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(f"{wanted} {image_id(tag)}")
    return tag


def build_fingerprint(
    dockerfile: Path,
    target: str,
    context: Path,
    build_args: Mapping[str, str],
    inputs: Iterable[str] = (".",),
) -> str:
    """Return the hash of everything a build depends on."""
    digest = hashlib.sha256(f"{target} {sorted(build_args.items())}".encode())
    digest.update(dockerfile.read_bytes())
    for path in context_files(context, inputs):
        mode = path.stat().st_mode & 0o111
        digest.update(f"{path.relative_to(context)} {mode}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def context_files(context: Path, inputs: Iterable[str] = (".",)) -> list[Path]:
    """Return the files of a build context: what Git knows or would, else all that is no litter."""
    wanted = list(inputs)
    try:
        argv = ["git", "-C", str(context), "ls-files", "-z", "-co", "--exclude-standard", "--"]
        names = subprocess.run(
            [*argv, *wanted], capture_output=True, check=True, text=True
        ).stdout.split("\0")
        found = {context / name for name in names if name}
    except (OSError, subprocess.CalledProcessError):
        found = {path for name in wanted for path in _walk(context / name)}
    return sorted(path for path in found if path.is_file())


def ensure_base() -> str:
    """Return the Debian Python image, made by debootstrap when it is not there."""
    if image_id(PYTHON_BASE):
        return PYTHON_BASE
    downloads.ensure_debian_packages()
    work = cache_dir() / "python-base"
    log = cache_dir() / "logs" / "image-base.log"
    with progress.step(f"build image {PYTHON_BASE}"):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        rootfs = work / "rootfs"
        run(["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, rootfs], log)
        _slim(rootfs)
        # Official Python images have `python`; Debian has `python3` alone.
        (rootfs / "usr" / "local" / "bin" / "python").symlink_to("/usr/bin/python3")
        dockerfile = work / "Dockerfile"
        dockerfile.write_text(
            "FROM scratch\nCOPY rootfs /\n"
            "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8\n"
            'CMD ["python3"]\n'
        )
        run([*_buildah(), "bud", "--isolation", "chroot", "-t", PYTHON_BASE, "-f", dockerfile,
             work], log)  # fmt: skip
        shutil.rmtree(work)
    return PYTHON_BASE


def load(runtime: Runtime, image: str) -> None:
    """Put an image from buildah's storage into the node, unless the node holds this very one."""
    mark = f"load-{_known_id(image)}"
    name = full_name(image)
    if runtime.holds(name, mark):
        return
    with progress.step(f"load {name}"):
        archive = export(image)
        try:
            runtime.import_archive(archive)
        finally:
            archive.unlink(missing_ok=True)
        runtime.remember(mark)


def export(image: str) -> Path:
    """Write an image from buildah's storage to an OCI archive, for the caller to remove."""
    archive = cache_dir() / "images" / f"export-{_known_id(image)[:12]}.tar"
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.unlink(missing_ok=True)
    argv: list[str | Path] = [*_buildah(), "push", "--disable-compression", "--quiet", image]
    log = cache_dir() / "logs" / "load.log"
    run([*argv, f"oci-archive:{archive}:{full_name(image)}"], log)
    return archive


def image_id(image: str) -> str:
    """Return the id of an image in buildah's storage, empty when there is none."""
    try:
        listed = json.loads(output([*_buildah(), "images", "--json", "--no-trunc"]))
    except ClusterError:
        return ""
    name = full_name(image)
    for entry in listed or []:
        if name in (entry.get("names") or []):
            return str(entry["id"]).removeprefix("sha256:")
    return ""


def _known_id(image: str) -> str:
    identity = image_id(image)
    if not identity:
        raise ClusterError(f"no image {image} here; `buildah images` lists those there are")
    return identity


def full_name(image: str) -> str:
    """Return an image's name with registry and tag, as containerd keeps it."""
    name, separator, tag = image.rpartition(":")
    if not separator or "/" in tag:
        name, tag = image, "latest"
    first, slash, _ = name.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    return f"{name if is_host else 'localhost/' + name}:{tag}"


def _bud(
    dockerfile: Path, target: str, tag: str, context: Path, build_args: Mapping[str, str]
) -> None:
    argv: list[str | Path] = [*_buildah(), "bud", "--layers", "--isolation", "chroot",
                              "--network", "host"]  # fmt: skip
    if _BUNDLE.exists():
        # What is built inside trusts whom this machine trusts, a company's proxy say; the
        # image itself keeps nothing of it.
        argv += ["-v", f"{_CERTIFICATES}:{_CERTIFICATES}:ro"]
        argv += ["--env", f"PIP_CERT={_BUNDLE}", "--unsetenv", "PIP_CERT"]
    for key, value in build_args.items():
        argv += ["--build-arg", f"{key}={value}"]
    if target:
        argv += ["--target", target]
    argv += ["-t", tag, "-f", dockerfile, context]
    log = cache_dir() / "logs" / f"image-{tag.replace('/', '_')}.log"
    log.unlink(missing_ok=True)
    run(argv, log)


@functools.lru_cache(maxsize=1)
def storage_driver() -> str:
    """Return the fastest storage that works: overlay, else vfs, which copies every layer whole."""
    chosen = os.environ.get("STORAGE_DRIVER")
    if chosen:
        return chosen
    try:
        output(["buildah", "--storage-driver", "overlay", "info"])
    except ClusterError:
        return "vfs"
    return "overlay"


def _buildah() -> list[str | Path]:
    return ["buildah", "--storage-driver", storage_driver()]


def _slim(rootfs: Path) -> None:
    """Remove what only a machine's administrator would read."""
    for name in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man",
                 "usr/share/locale"):  # fmt: skip
        shutil.rmtree(rootfs / name, ignore_errors=True)
    for name in ("var/cache/apt/archives/partial", "var/lib/apt/lists/partial"):
        (rootfs / name).mkdir(parents=True)


def _walk(folder: Path) -> Iterable[Path]:
    if folder.is_file():
        yield folder
        return
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        yield from (Path(root) / name for name in files)
