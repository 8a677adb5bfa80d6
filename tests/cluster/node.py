"""A whole Kubernetes node on this machine: control plane, kubelet, containerd and add-ons."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import addons, archives, downloads, gobuild, network, progress, runtime
from tests.cluster.commands import ClusterError, exclusive, wait_until
from tests.cluster.controlplane import ControlPlane, link_programs
from tests.cluster.layout import DEFAULT_NODE_DIR, StateDir, cache_dir
from tests.cluster.processes import Processes

_DAEMONS = (
    "etcd", "kube-apiserver", "kube-controller-manager", "containerd", "kubelet",
    "kube-scheduler", "kube-proxy",
)  # fmt: skip
_KUBECONFIGS = {"kubelet": "kubelet", "scheduler": "kube-scheduler", "proxy": "kube-proxy"}


@dataclass(frozen=True)
class Usage:
    """What one process of the node uses."""

    name: str
    pid: int
    alive: bool
    memory_bytes: int


class Node:
    """The node with its state in one directory; a machine holds one."""

    def __init__(self, directory: Path = DEFAULT_NODE_DIR, *, audit: bool = False) -> None:
        self.state = StateDir(directory.absolute())
        self.processes = Processes(self.state)
        self.runtime = runtime.Runtime(self.state, self.processes)
        self.plane = ControlPlane(
            self.state.root, audit=audit, controllers=True, node=network.NODE, preferred_port=6443
        )

    def up(self) -> addons.Endpoints:
        """Bring the node up, or what of it is missing, and return where its services are."""
        if os.geteuid() != 0:
            raise ClusterError("the node needs root: containers, addresses and mounts are made")
        with exclusive(self._lock):
            return self._up()

    def _up(self) -> addons.Endpoints:
        downloads.ensure_debian_packages()
        binaries = {name: gobuild.ensure(name) for name in gobuild.NODE}
        images = archives.node_images()
        packed = {key: archives.archive(image) for key, image in images.items()}
        self._clear_ruins()
        self.state.create()
        self.state.node_mark.touch()
        link_programs(self.state, binaries)
        network.set_up()
        with progress.step("control plane") as step:
            self.plane.start()
            step.note = self.plane.server
        self._start_runtime(images["pause_image"].name)
        for key, image in images.items():
            self.runtime.import_once(packed[key], image.name)
        with progress.step("node ready"):
            self._start_node_daemons()
        names = {key: image.name for key, image in images.items()}
        return addons.install(self._addon_target(names))

    def down(self, *, keep_data: bool = False) -> None:
        """End everything and leave nothing behind, from whatever state the node is in."""
        with exclusive(self._lock):
            self._down(keep_data=keep_data)

    @property
    def _lock(self) -> Path:
        return cache_dir() / "locks" / "node.lock"

    def _down(self, *, keep_data: bool) -> None:
        with progress.step("end the pods"):
            # The kubelet first: it would start again what we end.
            self.processes.stop("kubelet")
            self.runtime.end_pods()
        with progress.step("end the processes"):
            for name in ("kube-proxy", "kube-scheduler", "containerd"):
                self.processes.stop(name)
            self.plane.stop()
            self.runtime.end_shims()
        with progress.step("clean up mounts and network"):
            self._remove_traces()
            if not keep_data and self.state.pids.is_dir():
                shutil.rmtree(self.state.root)

    @property
    def exists(self) -> bool:
        """Tell whether the directory is a node's; a control plane's has no pods or network."""
        return self.state.node_mark.exists()

    def healthy(self) -> bool:
        """Tell whether every process runs and the node is ready."""
        return all(self.processes.alive(name) for name in _DAEMONS) and self._node_ready()

    def usage(self) -> list[Usage]:
        """Return what each process uses; the pods together are the last entry."""
        found = [
            Usage(record.name, record.pid, record.alive, record.memory_bytes)
            for record in self.processes.all()
        ]
        if not self.exists:
            return found
        pods = runtime.cgroup_memory()
        return [*found, Usage("(all pods)", 0, alive=pods > 0, memory_bytes=pods)]

    def endpoints(self) -> addons.Endpoints:
        """Return where the node's services are."""
        return addons.endpoints(self._addon_target({}))

    def _addon_target(self, images: Mapping[str, str]) -> addons.Target:
        return addons.Target(self.state.kubeconfig, self.state.root, images)

    def _clear_ruins(self) -> None:
        """Clean up after a crash or a reboot: what the dead containerd knew is no longer true."""
        if self.state.pids.is_dir() and not self.processes.alive("containerd"):
            # kube-proxy, too: it changes its rules little by little and would miss those removed.
            for name in ("kubelet", "kube-proxy"):
                self.processes.stop(name)
            self.runtime.end_pods()
            self.runtime.end_shims()
            self._remove_traces()

    def _remove_traces(self) -> None:
        runtime.unmount_below(self.state.root)
        network.tear_down()
        runtime.remove_cgroup()
        shutil.rmtree(self.state.root / "run", ignore_errors=True)
        for link in Path("/var/log/containers").glob("*.log"):
            with contextlib.suppress(OSError):
                if link.readlink().is_relative_to(self.state.root):
                    link.unlink()

    def _start_runtime(self, pause_image: str) -> None:
        cni = self.state.root / "cni"
        cni.mkdir(exist_ok=True)
        (cni / "10-tidemill.conflist").write_text(network.cni_config(self.runtime.addresses))
        with progress.step("containerd"):
            self.runtime.start(pause_image)

    def _start_node_daemons(self) -> None:
        pki = self.state.pki
        files = {}
        for identity, name in _KUBECONFIGS.items():
            files[name] = self.plane.write_kubeconfig(identity, pki / f"{name}.kubeconfig")
        config = self._write("kubelet.json", self._kubelet_config())
        self._start("kubelet", [
            f"--config={config}",
            f"--kubeconfig={files['kubelet']}",
            f"--hostname-override={network.NODE.name}",
            f"--node-ip={network.NODE.address}",
            f"--root-dir={self.state.root / 'kubelet'}",
            f"--cert-dir={pki / 'kubelet'}",
        ], config, files["kubelet"])  # fmt: skip
        self._start("kube-scheduler", [
            f"--kubeconfig={files['kube-scheduler']}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--cert-dir={pki / 'scheduler'}",
        ], files["kube-scheduler"])  # fmt: skip
        config = self._write("kube-proxy.json", self._proxy_config(files["kube-proxy"]))
        self._start("kube-proxy", [f"--config={config}"], config, files["kube-proxy"])
        wait_until(self._node_is_up, "readiness of the node", timeout=90.0)

    def _start(self, name: str, flags: list[str], *files: Path) -> None:
        """Start a process, or start it anew when what it was started with has changed."""
        program = self.state.bin / name
        digest = hashlib.sha256(f"{program.readlink()} {flags}".encode())
        for path in files:
            digest.update(path.read_bytes())
        mark = self.state.pids / f"{name}.started-with"
        unchanged = mark.exists() and mark.read_text() == digest.hexdigest()
        if self.processes.alive(name):
            if unchanged:
                return
            self.processes.stop(name)
        self.processes.start(name, [program, *flags], env={"GOGC": "60"})
        mark.write_text(digest.hexdigest())

    def _write(self, name: str, document: dict[str, object]) -> Path:
        path = self.state.root / name
        text = json.dumps(document, indent=2)
        # kube-proxy ends when its configuration is written, even with what was there before.
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        return path

    def _node_is_up(self) -> bool:
        for name in ("kubelet", "kube-scheduler", "kube-proxy"):
            self.processes.check(name)
        return self._node_ready()

    def _node_ready(self) -> bool:
        with contextlib.suppress(OSError, ClusterError):
            node = json.loads(self.plane.get(f"/api/v1/nodes/{network.NODE.name}"))
            return any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in node.get("status", {}).get("conditions", [])
            )
        return False

    def _kubelet_config(self) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": network.NODE.address,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self.state.pki / "kubelet-client-ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": runtime.create_cgroup(),
            "cgroupsPerQOS": True,
            "clusterDNS": [network.DNS_ADDRESS],
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": f"unix://{self.runtime.socket}",
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "imagefs.available": "1%",
                "nodefs.inodesFree": "1%",
            },
            "failCgroupV1": False,
            "failSwapOn": False,
            "healthzBindAddress": "127.0.0.1",
            # No registry could bring back a collected image.
            "imageGCHighThresholdPercent": 100,
            "imageMaximumGCAge": "0s",
            "imageMinimumGCAge": "8760h",
            "nodeStatusUpdateFrequency": "5s",
            "oomScoreAdj": 0,
            "podLogsDir": str(self.state.root / "pod-logs"),
            "resolvConf": str(network.resolv_conf()),
            "serializeImagePulls": False,
            "volumePluginDir": str(self.state.root / "volume-plugins"),
        }

    def _proxy_config(self, kubeconfig: Path) -> dict[str, object]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clusterCIDR": network.NODE.cluster_cidr,
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "conntrack": {"maxPerCore": 0},
            "hostnameOverride": network.NODE.name,
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            "oomScoreAdj": 0,
        }
