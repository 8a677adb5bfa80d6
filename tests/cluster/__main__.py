"""The command line: `python -m tests.cluster --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import addons, gobuild, images, progress
from tests.cluster.commands import ClusterError
from tests.cluster.controlplane import ControlPlane
from tests.cluster.layout import DEFAULT_NODE_DIR, default_control_plane_dir
from tests.cluster.node import Node


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    root = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    commands = root.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start the node, or a control plane alone")
    up.add_argument("--control-plane", action="store_true", help="etcd and kube-apiserver only")
    up.add_argument("--controllers", action="store_true", help="with it: the controller manager")
    up.add_argument("--audit", action="store_true", help="write an audit log to DIR/audit.log")
    down = commands.add_parser("down", help="end and clean up whatever runs, after crashes too")
    down.add_argument("--keep-data", action="store_true", help="leave the state directory")
    status = commands.add_parser("status", help="what runs, its memory and its addresses")
    for command in (down, status):
        command.add_argument("--control-plane", action="store_true", help="the control plane")
    for command in (up, down, status):
        command.add_argument("--dir", type=Path, help="the state directory")
    build = commands.add_parser("build", help="build the programs without starting anything")
    build.add_argument("names", nargs="*", help="default: all that a node needs")
    load = commands.add_parser("load", help="put an image from buildah's storage into the node")
    load.add_argument("image", nargs="+")
    load.add_argument("--dir", type=Path, help="the node's state directory")
    commands.add_parser("image-base", help="make the Debian Python base image, once")
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    arguments = parser().parse_args(argv)
    try:
        match arguments.command:
            case "up":
                _up(arguments)
            case "down":
                _down(arguments)
            case "status":
                _status(arguments)
            case "build":
                for name in arguments.names or gobuild.NODE:
                    print(gobuild.ensure(name))
            case "load":
                node = Node(arguments.dir or DEFAULT_NODE_DIR)
                for image in arguments.image:
                    images.load(node.runtime, image)
            case "image-base":
                print(images.ensure_base())
    except ClusterError as error:
        progress.say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        progress.say("interrupted; `down` cleans up")
        return 130
    return 0


def _up(arguments: argparse.Namespace) -> None:
    if not arguments.control_plane:
        found = Node(arguments.dir or DEFAULT_NODE_DIR, audit=arguments.audit).up()
        for key, value in addons.as_dict(found).items():
            print(f"{key}={value}")
        return
    directory = arguments.dir or default_control_plane_dir()
    plane = ControlPlane(directory, audit=arguments.audit, controllers=arguments.controllers)
    with progress.step("control plane") as step:
        plane.start()
        step.note = plane.server
    print(f"export KUBECONFIG={plane.kubeconfig}")


def _down(arguments: argparse.Namespace) -> None:
    # Only the node's own directory may end the pods and the network, of which there is one.
    directory = arguments.dir or DEFAULT_NODE_DIR
    if not arguments.control_plane and (not arguments.dir or Node(directory).exists):
        Node(directory).down(keep_data=arguments.keep_data)
        return
    plane = ControlPlane(arguments.dir or default_control_plane_dir())
    with progress.step("control plane down"):
        plane.stop() if arguments.keep_data else plane.destroy()


def _status(arguments: argparse.Namespace) -> None:
    default = default_control_plane_dir() if arguments.control_plane else DEFAULT_NODE_DIR
    node = Node(arguments.dir or default)
    usage = node.usage()
    for one in usage:
        life = f"{one.memory_bytes / 2**20:7.0f} MiB" if one.alive else "      ended"
        print(f"{one.name:<26}{one.pid or '':>9}  {life}")
    total = sum(one.memory_bytes for one in usage)
    print(f"{'total':<26}{'':>9}  {total / 2**20:7.0f} MiB")
    if node.processes.alive("kubelet"):
        print(f"{'node':<26}{'healthy' if node.healthy() else 'not healthy'}")
        for key, value in addons.as_dict(node.endpoints()).items():
            print(f"{key:<26}{value}")
    elif node.plane.processes.alive("kube-apiserver"):
        print(f"{'kubeconfig':<26}{node.state.kubeconfig}")


if __name__ == "__main__":
    sys.exit(main())
