"""What the node needs of the machine's network, and how to take it away again."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from tests.cluster.commands import ClusterError, output
from tests.cluster.controlplane import NodeAccess

# A documentation address (RFC 5737): no machine one could want to reach has it. The kubelet
# refuses loopback addresses, and a bridge with nothing in it is a device any kernel has.
NODE = NodeAccess(address="198.51.100.10", name="tidemill")
NODE_DEVICE = "tidemill0"
POD_CIDR = "10.244.0.0/24"
DNS_ADDRESS = "10.96.0.10"
NETWORK_NAME = "tidemill"
_TABLES = (("ip", "tidemill"), ("ip", "kube-proxy"), ("ip6", "kube-proxy"))
_CNI_RESULTS = Path("/var/lib/cni/results")
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


def set_up() -> None:
    """Give the node its address and let pods reach the world."""
    with contextlib.suppress(ClusterError):  # it is there already
        output(["ip", "link", "add", NODE_DEVICE, "type", "bridge"])
    output(["ip", "address", "replace", f"{NODE.address}/32", "dev", NODE_DEVICE])
    output(["ip", "link", "set", NODE_DEVICE, "up"])
    # A packet to a pod that is gone must fail here, not wander off to the default gateway.
    output(["ip", "route", "replace", "unreachable", NODE.cluster_cidr])
    _FORWARD.write_text("1\n")
    remove_table("ip", "tidemill")
    output([find_nft(), "-f", "-"], data=masquerade_rules())


def masquerade_rules() -> str:
    """Return the rules that give pods the machine's address when they talk to the world."""
    local = f"{{ {NODE.cluster_cidr}, 10.96.0.0/16, {NODE.address} }}"
    return (
        "table ip tidemill {\n"
        "  chain postrouting {\n"
        "    type nat hook postrouting priority srcnat;\n"
        f"    ip saddr {NODE.cluster_cidr} ip daddr != {local} masquerade\n"
        "  }\n"
        "}\n"
    )


def cni_config(addresses: Path) -> str:
    """Return the pods' network: one routed link each, so that every packet meets the rules."""
    document = {
        "cniVersion": "0.4.0",
        "name": NETWORK_NAME,
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(addresses),
                    "ranges": [[{"subnet": POD_CIDR}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }
    return json.dumps(document, indent=2)


def tear_down() -> None:
    """Remove the node's address, rules and what CNI remembers of its pods."""
    for family, table in _TABLES:
        remove_table(family, table)
    with contextlib.suppress(ClusterError):
        output(["ip", "link", "delete", NODE_DEVICE])
    with contextlib.suppress(ClusterError):
        output(["ip", "route", "delete", "unreachable", NODE.cluster_cidr])
    for result in _CNI_RESULTS.glob(f"{NETWORK_NAME}-*"):
        result.unlink(missing_ok=True)


def remove_table(family: str, table: str) -> None:
    """Remove a table of rules, if it is there."""
    with contextlib.suppress(ClusterError):
        output([find_nft(), "delete", "table", family, table])


def find_nft() -> str:
    """Return the nft command, which is on the path of root's login shells only."""
    return next((p for p in ("/usr/sbin/nft", "/sbin/nft") if Path(p).exists()), "nft")


def resolv_conf() -> Path:
    """Return the file naming real name servers: a stub on loopback is out of a pod's reach."""
    real = Path("/run/systemd/resolve/resolv.conf")
    return real if real.exists() else Path("/etc/resolv.conf")
