"""What the tests need in a cluster besides Kubernetes: DNS, S3, a gateway and Prometheus.

The same manifests serve the embedded node, kind and any cluster of the user's; only the images
differ, since the embedded node has no registry to pull from.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import http
import json
import secrets
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template

from tests.cluster import gobuild, network, progress
from tests.cluster.commands import ClusterError, keep_trying, output, wait_until
from tests.cluster.layout import MANIFESTS

UPSTREAM_IMAGES = {
    "s3_image": "docker.io/versity/versitygw:v1.8.0",
    "prometheus_image": "docker.io/prom/prometheus:v3.15.0",
    "envoy_gateway_image": f"docker.io/envoyproxy/gateway:{gobuild.ENVOY_GATEWAY_VERSION}",
    "envoy_image": "docker.io/envoyproxy/envoy:distroless-v1.39.0",
}
BUCKETS = ("tides", "artifacts")
_EG_NAMESPACE = "envoy-gateway-system"
_READY_SECONDS = 180


@dataclass(frozen=True)
class Target:
    """A cluster to install into, and a directory for what is written on the way."""

    kubeconfig: Path
    workdir: Path
    images: Mapping[str, str]
    context: str = ""

    @property
    def embedded(self) -> bool:
        """Tell whether this is our own node, which has no DNS unless we bring it."""
        return "coredns_image" in self.images

    def kubectl(self, *words: str | Path, data: str | None = None, timeout: float = 240) -> str:
        """Run kubectl against this cluster and return what it prints."""
        return output([gobuild.ensure("kubectl"), *self._access("--context"), *words],
                      data=data, timeout=timeout)  # fmt: skip

    def helm(self, *words: str | Path) -> str:
        """Run helm against this cluster and return what it prints."""
        argv = [gobuild.ensure("helm"), *self._access("--kube-context"), *words]
        return output(argv, timeout=300)

    def _access(self, option: str) -> list[str]:
        context = [option, self.context] if self.context else []
        return ["--kubeconfig", str(self.kubeconfig), *context]


@dataclass(frozen=True)
class Endpoints:
    """Where a cluster's services are, the same for pods and for the host."""

    kubeconfig: str
    context: str
    gateway: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    prometheus: str


def install(target: Target) -> Endpoints:
    """Install what is missing, wait until it serves and return where it is."""
    for title, part in _PARTS.items():
        if title == "CoreDNS" and not target.embedded:
            continue
        with progress.step(title) as step:
            mark = target.workdir / "addons" / title.replace(" ", "-").lower()
            wanted = _fingerprint(target, title)
            if mark.exists() and mark.read_text() == wanted:
                step.note = "unchanged"
                continue
            part(target)
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(wanted)
    with progress.step("add-ons ready"):
        _await_deployments(target)
        # After a crash a pod may be called ready that is only being started again.
        keep_trying(functools.partial(_create_buckets, target), timeout=60.0)
        _await_gateway(target)
        found = endpoints(target)
        for url in (f"{found.s3_endpoint}/healthz", f"{found.prometheus}/-/ready", found.gateway):
            wait_until(functools.partial(answers, url), f"an answer of {url}", timeout=60.0)
    write_s3_env(found, target.workdir / "s3.env")
    return found


def endpoints(target: Target) -> Endpoints:
    """Return where the services are, as the cluster itself says."""
    secret = json.loads(target.kubectl("get", "secret", "-n", "s3", "s3-root", "-o", "json"))
    keys = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    host = target.kubectl(
        "get", "nodes", "-o",
        'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}',
    ).split()[0]  # fmt: skip
    return Endpoints(
        kubeconfig=str(target.kubeconfig),
        context=target.context,
        gateway=f"http://{host}:{_gateway_port(target)}",
        s3_endpoint=f"http://{host}:{_node_port(target, 's3', 's3')}",
        s3_access_key=keys["AWS_ACCESS_KEY_ID"],
        s3_secret_key=keys["AWS_SECRET_ACCESS_KEY"],
        prometheus=f"http://{host}:{_node_port(target, 'monitoring', 'prometheus')}",
    )


def write_s3_env(found: Endpoints, path: Path) -> None:
    """Write the S3 access as a shell reads it."""
    path.touch(mode=0o600)
    path.write_text(
        f"AWS_ENDPOINT_URL={found.s3_endpoint}\n"
        f"AWS_ACCESS_KEY_ID={found.s3_access_key}\n"
        f"AWS_SECRET_ACCESS_KEY={found.s3_secret_key}\n"
        "AWS_REGION=us-east-1\n"
    )


def answers(url: str) -> bool:
    """Tell whether an HTTP server answers, whatever it says: a gateway without routes says 404."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=2.0):
            return True
    except urllib.error.HTTPError as error:
        return error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR
    except OSError:
        return False


def as_dict(found: Endpoints) -> dict[str, str]:
    """Return the endpoints as plain values."""
    return {key: str(value) for key, value in asdict(found).items()}


def render(name: str, values: Mapping[str, str]) -> str:
    """Return a manifest with its values filled in; other dollars stay, Prometheus uses them."""
    text = (MANIFESTS / name).read_text()
    manifest_hash = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Template(text).safe_substitute(values, manifest_hash=manifest_hash)


def dns_forward(resolv_conf: str) -> str:
    """Return CoreDNS's line for names of the world; without servers they are refused."""
    words = (entry.split() for entry in resolv_conf.splitlines())
    servers = any(len(entry) > 1 and entry[0] == "nameserver" for entry in words)
    return "forward . /etc/resolv.conf" if servers else "# no name server here"


def _fingerprint(target: Target, title: str) -> str:
    digest = hashlib.sha256(f"{title} {sorted(target.images.items())} {_EG_NAMESPACE}".encode())
    for path in sorted(MANIFESTS.iterdir()):
        digest.update(path.read_bytes())
    digest.update(gobuild.fingerprint(gobuild.PROGRAMS["envoy-gateway"]).encode())
    return digest.hexdigest()


def _apply(target: Target, manifest: str) -> None:
    target.kubectl(
        "apply", "--server-side", "--force-conflicts", "--field-manager=tidemill-tests",
        "-f", "-", data=manifest,
    )  # fmt: skip


def _install_namespaces(target: Target) -> None:
    _apply(target, render("namespaces.yaml", {}))


def _install_dns(target: Target) -> None:
    forward = dns_forward(network.resolv_conf().read_text())
    _apply(target, render("coredns.yaml", {**target.images, "dns_forward": forward}))


def _install_s3(target: Target) -> None:
    with contextlib.suppress(ClusterError):  # an existing Secret keeps its keys
        target.kubectl(
            "create", "secret", "generic", "s3-root", "-n", "s3",
            f"--from-literal=AWS_ACCESS_KEY_ID={secrets.token_hex(10)}",
            f"--from-literal=AWS_SECRET_ACCESS_KEY={secrets.token_hex(20)}",
        )  # fmt: skip
    _apply(target, render("s3.yaml", target.images))


def _install_prometheus(target: Target) -> None:
    _apply(target, render("prometheus.yaml", target.images))


def _install_gateway_crds(target: Target) -> None:
    folder = gobuild.module_dir("envoy-gateway", "sigs.k8s.io/gateway-api")
    files = sorted((folder / "config" / "crd" / "standard").glob("gateway.networking*.yaml"))
    _apply(target, "\n---\n".join(path.read_text() for path in files))
    charts = gobuild.module_dir("envoy-gateway", "github.com/envoyproxy/gateway") / "charts"
    argv: list[str | Path] = [gobuild.ensure("helm"), "template", charts / "gateway-crds-helm",
            "--set", "crds.envoyGateway.enabled=true"]  # fmt: skip
    _apply(target, output(argv))
    target.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")


def _install_envoy_gateway(target: Target) -> None:
    chart = _envoy_gateway_chart(target)
    overrides = chart.with_name("values.yaml")
    overrides.write_text(render("envoy-gateway-values.yaml", target.images))
    release = "envoy-gateway"
    # An installation that was interrupted blocks every later one.
    if release in target.helm("list", "--pending", "-q", "-n", _EG_NAMESPACE).split():
        target.helm("uninstall", release, "-n", _EG_NAMESPACE, "--wait")
    target.helm(
        "upgrade", "--install", release, chart, "--namespace", _EG_NAMESPACE,
        "--create-namespace", "--values", overrides, "--wait", "--timeout", "180s",
    )  # fmt: skip


def _envoy_gateway_chart(target: Target) -> Path:
    """Return Envoy Gateway's chart as its release would hold it; its source has templates of it."""
    source = gobuild.module_dir("envoy-gateway", "github.com/envoyproxy/gateway")
    chart = target.workdir / "charts" / "gateway-helm"
    shutil.rmtree(chart, ignore_errors=True)
    shutil.copytree(source / "charts" / "gateway-helm", chart, copy_function=shutil.copyfile)
    for folder in (chart, *(path for path in chart.rglob("*") if path.is_dir())):
        folder.chmod(0o755)  # the module cache is read-only
    values = Template((chart / "values.tmpl.yaml").read_text()).safe_substitute(
        GatewayImage=target.images["envoy_gateway_image"], GatewayImagePullPolicy="IfNotPresent"
    )
    (chart / "values.yaml").write_text(values)
    version = gobuild.ENVOY_GATEWAY_VERSION.lstrip("v")
    about = (chart / "Chart.yaml").read_text()
    (chart / "Chart.yaml").write_text(about.replace("v0.0.0-latest", version))
    return chart


def _install_gateway(target: Target) -> None:
    _apply(target, render("gateway.yaml", target.images))


def _await_deployments(target: Target) -> None:
    waits = [("s3", "s3"), ("monitoring", "prometheus"), (_EG_NAMESPACE, "envoy-gateway")]
    if target.embedded:
        waits.append(("kube-system", "coredns"))
    for namespace, name in waits:
        target.kubectl("rollout", "status", f"deployment/{name}", "-n", namespace,
                       f"--timeout={_READY_SECONDS}s")  # fmt: skip


def _await_gateway(target: Target) -> None:
    target.kubectl("wait", "gateway/public", "-n", "gateways", "--for=condition=Programmed",
                   f"--timeout={_READY_SECONDS}s")  # fmt: skip
    wait_until(
        lambda: bool(_gateway_port(target)), "port of the gateway", timeout=30.0, interval=0.5
    )


def _create_buckets(target: Target) -> None:
    admin = ["exec", "-n", "s3", "deployment/s3", "--", "/usr/local/bin/versitygw", "admin"]
    present = target.kubectl(*admin, "list-buckets")
    secret = json.loads(target.kubectl("get", "secret", "-n", "s3", "s3-root", "-o", "json"))
    owner = base64.b64decode(secret["data"]["AWS_ACCESS_KEY_ID"]).decode()
    for bucket in BUCKETS:
        if bucket not in present.split():
            target.kubectl(*admin, "create-bucket", "--owner", owner, "--bucket", bucket)


def _gateway_port(target: Target) -> str:
    return target.kubectl(
        "get", "services", "-n", _EG_NAMESPACE,
        "-l", "gateway.envoyproxy.io/owning-gateway-name=public",
        "-o", "jsonpath={.items[*].spec.ports[?(@.port==80)].nodePort}",
    ).strip()  # fmt: skip


def _node_port(target: Target, namespace: str, service: str) -> str:
    return target.kubectl(
        "get", "service", "-n", namespace, service, "-o", "jsonpath={.spec.ports[0].nodePort}"
    ).strip()


_PARTS: dict[str, Callable[[Target], None]] = {
    "namespaces": _install_namespaces,
    "CoreDNS": _install_dns,
    "S3 server": _install_s3,
    "Prometheus": _install_prometheus,
    "Gateway API": _install_gateway_crds,
    "Envoy Gateway": _install_envoy_gateway,
    "public gateway": _install_gateway,
}
