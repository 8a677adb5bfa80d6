"""Container images of one program each, written straight as OCI archives.

No builder is needed to put a binary and the libraries it names into a layer, and none of a
builder's copying of it.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import downloads, gobuild, progress
from tests.cluster.layout import cache_dir

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_NOBODY = 65532
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class ProgramImage:
    """An image of one program, which is what it starts."""

    program: str
    binary: Path

    @property
    def fingerprint(self) -> str:
        """Return the hash of the contents; the cache names binaries by the hash of their inputs."""
        text = f"{self.program} {self.binary.name} {self.binary.stat().st_size}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """Return the image's name; a changed program has another, so that its pods are replaced."""
        return f"localhost/{self.program}:{self.fingerprint}"


def node_images() -> dict[str, ProgramImage]:
    """Return the images a node holds, by the name manifests know them under."""
    return {
        "pause_image": ProgramImage("pause", gobuild.ensure("pause")),
        "coredns_image": ProgramImage("coredns", gobuild.ensure("coredns")),
        "s3_image": ProgramImage("versitygw", gobuild.ensure("versitygw")),
        "prometheus_image": ProgramImage("prometheus", gobuild.ensure("prometheus")),
        "envoy_gateway_image": ProgramImage("envoy-gateway", gobuild.ensure("envoy-gateway")),
        "envoy_image": ProgramImage("envoy", downloads.envoy()),
    }


def archive(image: ProgramImage) -> Path:
    """Return the image's OCI archive, written when it is not in the cache."""
    target = cache_dir() / "images" / f"{image.program}-{image.fingerprint}.tar"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with progress.step(f"pack image {image.program}"):
        for stale in target.parent.glob(f"{image.program}-" + "?" * 12 + ".tar"):
            stale.unlink()
        draft = target.with_suffix(".new")
        _write_archive(image, draft)
        draft.replace(target)
    return target


def _write_archive(image: ProgramImage, target: Path) -> None:
    layer = target.with_suffix(".layer")
    _write_layer(image, layer)
    with layer.open("rb") as content:
        layer_digest = hashlib.file_digest(content, "sha256").hexdigest()
    config = _json(
        {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {
                "User": f"{_NOBODY}:{_NOBODY}",
                "Env": ["PATH=/usr/local/bin"],
                "Entrypoint": [f"/usr/local/bin/{image.program}"],
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        }
    )
    layer_entry = {
        "mediaType": _LAYER,
        "digest": f"sha256:{layer_digest}",
        "size": layer.stat().st_size,
    }
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, config),
            "layers": [layer_entry],
        }
    )
    entry = _descriptor(_MANIFEST, manifest)
    entry["annotations"] = {"io.containerd.image.name": image.name}
    index = _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]})
    with tarfile.open(target, "w") as out:
        _add(out, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(out, "index.json", index)
        for blob in (config, manifest):
            _add(out, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
        out.add(layer, arcname=f"blobs/sha256/{layer_digest}")
    layer.unlink()


def _write_layer(image: ProgramImage, target: Path) -> None:
    files = downloads.shared_libraries(image.binary)
    files[f"/usr/local/bin/{image.program}"] = image.binary
    with tarfile.open(target, "w") as out:
        _add(out, "tmp", None, mode=0o1777)
        _add(out, "etc/passwd", f"nobody:x:{_NOBODY}:{_NOBODY}::/tmp:/none\n".encode())
        _add(out, "etc/nsswitch.conf", b"hosts: files dns\n")
        for path, source in sorted(files.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = source.stat().st_size, 0o755
            with source.open("rb") as content:
                out.addfile(entry, content)


def _add(out: tarfile.TarFile, name: str, data: bytes | None, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode = mode
    if data is None:
        entry.type = tarfile.DIRTYPE
        out.addfile(entry)
        return
    entry.size = len(data)
    out.addfile(entry, io.BytesIO(data))


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    digest = hashlib.sha256(blob).hexdigest()
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(blob)}


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True).encode()
