"""etcd and kube-apiserver, if asked kube-controller-manager: the API alone, with no node.

    with ControlPlane(directory, audit=True) as cp:
        kubernetes.config.load_kube_config(str(cp.kubeconfig))

Several run side by side, each on free ports with its own directory.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import shutil
import socket
import ssl
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from tests.cluster import gobuild
from tests.cluster.commands import ClusterError, output, wait_until
from tests.cluster.layout import StateDir
from tests.cluster.processes import Processes

# User, groups: who holds a token. Names are those the built-in RBAC rules speak of.
_IDENTITIES = {
    "admin": ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", ""),
}
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
_START_ATTEMPTS = 3


@dataclass(frozen=True)
class Ports:
    """The ports of one control plane."""

    etcd: int
    etcd_peer: int
    apiserver: int
    controller_manager: int


@dataclass(frozen=True)
class NodeAccess:
    """What the API server needs to know where a kubelet and pods are to reach it."""

    address: str
    name: str
    cluster_cidr: str = "10.244.0.0/16"


class ControlPlane:
    """A control plane with its state in one directory."""

    def __init__(
        self,
        directory: Path | str,
        *,
        audit: bool = False,
        controllers: bool = False,
        node: NodeAccess | None = None,
        preferred_port: int | None = None,
    ) -> None:
        self.state = StateDir(Path(directory).absolute())
        self.processes = Processes(self.state)
        self._audit = audit
        self._controllers = controllers
        self._node = node
        self._preferred_port = preferred_port
        self._die_with_parent = False
        self._ports: Ports | None = None

    def __enter__(self) -> ControlPlane:
        self._die_with_parent = True
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def kubeconfig(self) -> Path:
        """Return the administrator's kubeconfig file."""
        return self.state.kubeconfig

    @property
    def audit_log(self) -> Path:
        """Return the audit log, written when `audit` was asked for: one JSON event a line."""
        return self.state.audit_log

    @property
    def server(self) -> str:
        """Return the API server's address."""
        host = self._node.address if self._node else "127.0.0.1"
        return f"https://{host}:{self.ports.apiserver}"

    @property
    def token(self) -> str:
        """Return the administrator's bearer token."""
        return self.token_of("admin")

    @property
    def certificate(self) -> Path:
        """Return the certificate to trust; the API server's own, self-signed."""
        return self.state.pki / "apiserver.crt"

    @property
    def ports(self) -> Ports:
        """Return the ports in use, also those of a control plane another process started."""
        if self._ports is None:
            try:
                saved = json.loads(self.state.state_file.read_text())
                self._ports = Ports(**saved["ports"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ClusterError(f"no control plane was started in {self.state.root}") from error
        return self._ports

    def start(self) -> ControlPlane:
        """Start what does not run yet and wait until the API answers."""
        if self.ready():
            self._start_controllers()
            return self
        self.stop()
        binaries = {name: gobuild.ensure(name) for name in gobuild.CONTROL_PLANE}
        self.state.create()
        link_programs(self.state, binaries)
        self._write_credentials()
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                self._start_on_free_ports()
                break
            except ClusterError as error:
                self.stop()
                # Somebody else may have taken a port between our choosing it and our using it.
                if attempt == _START_ATTEMPTS or "address already in use" not in str(error):
                    raise
        self._start_controllers()
        return self

    def stop(self, *, force: bool = False) -> None:
        """End every process of the control plane; the state stays."""
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            self.processes.stop(name, timeout=8.0, force=force)

    def destroy(self) -> None:
        """End everything and remove the directory."""
        self.stop(force=True)
        if self.state.pids.is_dir():  # anything else is not ours to remove
            shutil.rmtree(self.state.root, ignore_errors=True)

    def restart(self) -> None:
        """Restart the API server on the same port, as an upgrade would."""
        self.stop_apiserver()
        self.start_apiserver()

    def stop_apiserver(self, *, force: bool = False) -> None:
        """End the API server alone: an outage; etcd and the controllers stay."""
        self.processes.stop("kube-apiserver", timeout=8.0, force=force)

    def start_apiserver(self) -> None:
        """Start the API server and wait until it is ready."""
        port_gets_free(self.ports.apiserver)
        self._run("kube-apiserver", self._apiserver_flags())
        self._await_ready("kube-apiserver", self.ready, timeout=60.0)

    def ready(self) -> bool:
        """Tell whether the API server says it is ready."""
        try:
            return self.get("/readyz", timeout=2.0) == "ok"
        except (OSError, ClusterError):
            return False

    def get(self, path: str, *, timeout: float = 10.0) -> str:
        """Return what the API server answers to a GET by the administrator."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        request = urllib.request.Request(
            self.server + path, headers={"Authorization": f"Bearer {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:
            body: bytes = answer.read()
        return body.decode()

    def token_of(self, identity: str) -> str:
        """Return the token of one identity of the token file."""
        try:
            return (self.state.pki / f"{identity}.token").read_text().strip()
        except OSError as error:
            raise ClusterError(f"no control plane was started in {self.state.root}") from error

    def write_kubeconfig(self, identity: str, path: Path) -> Path:
        """Write a kubeconfig for one identity and return its path."""
        token = self.token_of(identity)
        document = kubeconfig_document(self.server, self.certificate.read_text(), token, identity)
        path.touch(mode=0o600)
        path.write_text(json.dumps(document, indent=2) + "\n")
        return path

    def _start_on_free_ports(self) -> None:
        free = free_ports(4)
        last = self._last_port()
        preferred = last or self._preferred_port
        if preferred and port_gets_free(preferred):
            free[2] = preferred
        elif last and self._node:
            # The cluster's own record of where its API is cannot follow.
            raise ClusterError(f"somebody else uses port {last}, on which this node's API was")
        self._ports = Ports(*free)
        self.state.state_file.write_text(json.dumps({"ports": asdict(self._ports)}))
        self._run("etcd", self._etcd_flags())
        self._await_ready("etcd", self._etcd_ready, timeout=30.0)
        self.start_apiserver()
        self.write_kubeconfig("admin", self.kubeconfig)

    def _last_port(self) -> int | None:
        """Return the port of before: kubeconfigs that were handed out name it."""
        try:
            return self.ports.apiserver
        except ClusterError:
            return None

    def _start_controllers(self) -> None:
        if not self._controllers or self.processes.alive("kube-controller-manager"):
            return
        link_programs(
            self.state, {"kube-controller-manager": gobuild.ensure("kube-controller-manager")}
        )
        self._run("kube-controller-manager", self._controller_manager_flags())
        self._await_ready("kube-controller-manager", self._has_default_account, timeout=60.0)

    def _run(self, name: str, flags: list[str]) -> None:
        self.processes.start(
            name,
            [self.state.bin / name, *flags],
            env={"GOGC": "60"},
            die_with_parent=self._die_with_parent,
        )

    def _await_ready(self, name: str, ready: Callable[[], bool], *, timeout: float) -> None:
        def check() -> bool:
            self.processes.check(name)
            return ready()

        wait_until(check, f"readiness of {name}", timeout=timeout, interval=0.05)

    def _etcd_ready(self) -> bool:
        with contextlib.suppress(OSError):
            url = f"http://127.0.0.1:{self.ports.etcd}/health"
            with urllib.request.urlopen(url, timeout=1.0) as answer:
                return b'"true"' in answer.read()
        return False

    def _has_default_account(self) -> bool:
        """Tell whether pods may be created: the controllers' last act for a new namespace."""
        with contextlib.suppress(OSError):
            self.get("/api/v1/namespaces/default/serviceaccounts/default", timeout=2.0)
            return True
        return False

    def _etcd_flags(self) -> list[str]:
        client = f"http://127.0.0.1:{self.ports.etcd}"
        peer = f"http://127.0.0.1:{self.ports.etcd_peer}"
        return [
            f"--data-dir={self.state.root / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def _apiserver_flags(self) -> list[str]:
        pki = self.state.pki
        flags = [
            f"--etcd-servers=http://127.0.0.1:{self.ports.etcd}",
            f"--secure-port={self.ports.apiserver}",
            f"--cert-dir={pki}",
            f"--service-account-key-file={pki / 'sa.pub'}",
            f"--service-account-signing-key-file={pki / 'sa.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--token-auth-file={pki / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged=true",
            "--profiling=false",
        ]
        if self._audit:
            flags += [
                f"--audit-policy-file={pki / 'audit-policy.json'}",
                f"--audit-log-path={self.audit_log}",
            ]
        if self._node is None:
            flags += ["--bind-address=127.0.0.1", "--endpoint-reconciler-type=none"]
            # Nobody makes default service accounts without controllers; pods would be refused.
            return flags if self._controllers else [
                *flags, "--disable-admission-plugins=ServiceAccount"
            ]  # fmt: skip
        return [
            *flags,
            "--bind-address=0.0.0.0",
            f"--advertise-address={self._node.address}",
            "--endpoint-reconciler-type=lease",
            "--kubelet-preferred-address-types=InternalIP",
            "--enable-admission-plugins=NodeRestriction",
            f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
            f"--kubelet-client-key={pki / 'kubelet-client.key'}",
        ]

    def _controller_manager_flags(self) -> list[str]:
        kubeconfig = self.state.pki / "controller-manager.kubeconfig"
        self.write_kubeconfig("controller-manager", kubeconfig)
        flags = [
            f"--kubeconfig={kubeconfig}",
            f"--service-account-private-key-file={self.state.pki / 'sa.key'}",
            f"--root-ca-file={self.certificate}",
            f"--secure-port={self.ports.controller_manager}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={self.state.pki / 'controller-manager'}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
        ]
        if self._node is not None:
            flags += ["--allocate-node-cidrs=true", f"--cluster-cidr={self._node.cluster_cidr}"]
        return flags

    def _write_credentials(self) -> None:
        pki = self.state.pki
        (pki / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY))
        if not (pki / "sa.pub").exists():
            output(["openssl", "genrsa", "-out", pki / "sa.key", "2048"])
            output(["openssl", "rsa", "-in", pki / "sa.key", "-pubout", "-out", pki / "sa.pub"])
        identities = dict(_IDENTITIES)
        if self._node is not None:
            identities["kubelet"] = (f"system:node:{self._node.name}", "system:nodes")
            issue_client_certificate(pki)
        lines = []
        for identity, (user, groups) in identities.items():
            path = pki / f"{identity}.token"
            if not path.exists():
                path.touch(mode=0o600)
                path.write_text(secrets.token_urlsafe(32))
            lines.append(f'{path.read_text().strip()},{user},{user},"{groups}"')
        (pki / "tokens.csv").write_text("\n".join(lines) + "\n")


def link_programs(state: StateDir, binaries: dict[str, Path]) -> None:
    """Have the state directory's `bin` name the programs in use."""
    for name, binary in binaries.items():
        link = state.bin / name
        link.unlink(missing_ok=True)
        link.symlink_to(binary)


def issue_client_certificate(pki: Path) -> None:
    """Make the certificate by which the API server proves itself to the kubelet, with its CA."""
    ca, client = pki / "kubelet-client-ca", pki / "kubelet-client"
    if client.with_suffix(".crt").exists():
        return
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes"]
    output([*new, "-x509", "-days", "3650", "-subj", "/CN=tidemill-kubelet-client-ca",
            "-keyout", f"{ca}.key", "-out", f"{ca}.crt"])  # fmt: skip
    output([*new, "-subj", "/O=system:masters/CN=kube-apiserver-kubelet-client",
            "-keyout", f"{client}.key", "-out", f"{client}.csr"])  # fmt: skip
    output(["openssl", "x509", "-req", "-days", "3650", "-in", f"{client}.csr", "-CA", f"{ca}.crt",
            "-CAkey", f"{ca}.key", "-CAcreateserial", "-out", f"{client}.crt"])  # fmt: skip


def kubeconfig_document(server: str, certificate: str, token: str, user: str) -> dict[str, object]:
    """Return a kubeconfig; JSON is YAML too."""
    authority = base64.b64encode(certificate.encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "tidemill",
                "cluster": {"server": server, "certificate-authority-data": authority},
            }
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "tidemill", "context": {"cluster": "tidemill", "user": user}}],
        "current-context": "tidemill",
    }


def free_ports(count: int) -> list[int]:
    """Return ports nobody listens on, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def port_gets_free(port: int, *, timeout: float = 5.0) -> bool:
    """Tell whether a port is free, or soon is: a process's last threads outlive it by a moment."""
    try:
        wait_until(lambda: port_is_free(port), f"release of port {port}", timeout=timeout)
    except ClusterError:
        return False
    return True


def port_is_free(port: int) -> bool:
    """Tell whether one could listen on a port of every address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
        return True
