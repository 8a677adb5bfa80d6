"""The parts of the test cluster that need no cluster."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.cluster import (
    addons,
    archives,
    gobuild,
    images,
    network,
    processes,
    progress,
    target,
    tenants,
)
from tests.cluster.commands import ClusterError, exclusive, keep_trying, output, run, wait_until
from tests.cluster.controlplane import free_ports, kubeconfig_document, port_is_free
from tests.cluster.layout import GO_FAMILIES, MANIFESTS, StateDir


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1 min 01 s")]
)
def test_durations_read_as_people_write_them(seconds: float, text: str) -> None:
    assert progress.elapsed(seconds) == text


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("module x\n\ngo 1.26\n", (1, 26, 0)),
        ("bash: go: command not found", ()),
    ],
)
def test_go_releases_are_read_from_versions_and_modules(
    text: str, release: tuple[int, ...]
) -> None:
    assert gobuild.parse_release(text) == release


def test_a_program_is_built_anew_when_its_module_changes(tmp_path: Path) -> None:
    program = gobuild.Program("p", "family", "example.com/p")
    family = tmp_path / "family"
    family.mkdir()
    (family / "go.mod").write_text("module a\n")
    before = gobuild.fingerprint(program, tmp_path)
    (family / "notes.txt").write_text("not an input")
    assert gobuild.fingerprint(program, tmp_path) == before
    (family / "go.mod").write_text("module b\n")
    assert gobuild.fingerprint(program, tmp_path) != before


@pytest.mark.parametrize("name", gobuild.PROGRAMS)
def test_every_program_is_pinned_by_a_module(name: str) -> None:
    folder = GO_FAMILIES / gobuild.PROGRAMS[name].family
    assert gobuild.parse_release((folder / "go.mod").read_text()) >= (1, 26)


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("demo", "localhost/demo:latest"),
        ("demo:1", "localhost/demo:1"),
        ("localhost/demo:1", "localhost/demo:1"),
        ("localhost:5000/demo", "localhost:5000/demo:latest"),
        ("example.com/a/b:2", "example.com/a/b:2"),
        ("team/demo:1", "localhost/team/demo:1"),
    ],
)
def test_images_get_the_names_containerd_knows_them_by(image: str, full: str) -> None:
    assert images.full_name(image) == full


def test_an_image_is_built_anew_when_an_input_changes_and_only_then(tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM scratch\n")
    source = tmp_path / "src"
    source.mkdir()
    (source / "a.py").write_text("1")
    (tmp_path / "README").write_text("1")

    def fingerprint(**build_args: str) -> str:
        return images.build_fingerprint(dockerfile, "app", tmp_path, build_args, ["src"])

    before = fingerprint(BASE="x")
    (tmp_path / "README").write_text("2")
    assert fingerprint(BASE="x") == before
    assert fingerprint(BASE="y") != before
    (source / "a.py").write_text("2")
    assert fingerprint(BASE="x") != before


def test_kubeconfigs_carry_the_certificate_and_the_token() -> None:
    document = json.loads(json.dumps(kubeconfig_document("https://h:1", "PEM", "t0ken", "admin")))
    cluster = document["clusters"][0]["cluster"]
    assert cluster["server"] == "https://h:1"
    assert base64.b64decode(cluster["certificate-authority-data"]) == b"PEM"
    assert document["users"][0]["user"]["token"] == "t0ken"


def test_free_ports_differ_and_are_free() -> None:
    ports = free_ports(4)
    assert len(set(ports)) == 4
    assert all(port_is_free(port) for port in ports)


@pytest.mark.parametrize(
    ("context", "docker", "kind", "chosen"),
    [
        ("mine", True, True, target.Kind.CONTEXT),
        ("", True, True, target.Kind.KIND),
        ("", True, False, target.Kind.EMBEDDED),
        ("", False, True, target.Kind.EMBEDDED),
    ],
)
def test_the_cluster_is_the_named_one_else_kind_else_our_own(
    context: str, docker: bool, kind: bool, chosen: target.Kind
) -> None:
    assert target.choose(context, docker=docker, kind=kind) is chosen


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("*.yaml")), ids=lambda path: path.name)
def test_manifests_are_yaml_with_every_value_filled_in(path: Path) -> None:
    values = {name: f"localhost/{name}:1" for name in (*addons.UPSTREAM_IMAGES, "coredns_image")}
    text = addons.render(path.name, {**values, "dns_forward": addons.dns_forward("")})
    assert "${" not in text
    assert list(yaml.safe_load_all(text))


def test_every_container_of_ours_meets_the_restricted_profile() -> None:
    for name in ("s3.yaml", "prometheus.yaml", "coredns.yaml"):
        for document in yaml.safe_load_all((MANIFESTS / name).read_text()):
            if document["kind"] != "Deployment":
                continue
            pod = document["spec"]["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"]
            for container in pod["containers"]:
                assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
                assert not container["securityContext"]["allowPrivilegeEscalation"]
                assert container["securityContext"]["readOnlyRootFilesystem"]


def test_dns_asks_nobody_where_nobody_is_named() -> None:
    assert addons.dns_forward("search x\nnameserver 192.0.2.1\n").startswith("forward")
    assert "forward" not in addons.dns_forward("# nameserver 192.0.2.1\n")


def test_pods_talk_to_each_other_under_their_own_addresses() -> None:
    rules = network.masquerade_rules()
    assert f"ip daddr != {{ {network.NODE.cluster_cidr}" in rules
    config = json.loads(network.cni_config(Path("/addresses")))
    assert config["plugins"][0]["ipMasq"] is False


def test_an_image_archive_holds_what_its_digests_say(tmp_path: Path) -> None:
    binary = tmp_path / "tool-0123"
    binary.write_bytes(b"#!not an elf")
    image = archives.ProgramImage("tool", binary)
    archive = tmp_path / "tool.tar"
    archives._write_archive(image, archive)
    with tarfile.open(archive) as content:
        blobs = {
            entry.name: stream.read()
            for entry in content.getmembers()
            if (stream := content.extractfile(entry))
        }
    for name, blob in blobs.items():
        if name.startswith("blobs/"):
            assert Path(name).name == hashlib.sha256(blob).hexdigest()
    index = json.loads(blobs["index.json"])
    names = index["manifests"][0]["annotations"]
    assert names == {"io.containerd.image.name": image.name}


def test_a_process_is_recorded_until_it_is_stopped(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state").create()
    first = processes.Processes(state)
    record = first.start("sleeper", ["sleep", "60"])
    later = processes.Processes(state)
    assert later.alive("sleeper")
    assert later.get("sleeper") == record
    later.stop("sleeper")
    assert not later.alive("sleeper")
    assert later.all() == []


def test_a_pid_that_changed_hands_is_never_signalled(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state").create()
    (state.pids / "ghost.json").write_text(
        json.dumps({"name": "ghost", "pid": os.getpid(), "start_time": 1, "argv": []})
    )
    processes.Processes(state).stop("ghost")
    assert processes.start_time(os.getpid()) is not None


def test_the_end_of_the_log_explains_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="because of the moon"):
        run(["sh", "-c", "echo because of the moon; exit 3"], tmp_path / "log")
    with pytest.raises(ClusterError, match="not installed"):
        output(["no-such-program-here"])


def test_waiting_ends_at_the_deadline() -> None:
    with pytest.raises(ClusterError, match="the tide"):
        wait_until(lambda: False, "the tide", timeout=0.05, interval=0.01)
    outcomes = iter([ClusterError("first"), None])

    def act() -> None:
        if outcome := next(outcomes):
            raise outcome

    keep_trying(act, timeout=1.0, interval=0.01)


def test_a_lock_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        with exclusive(tmp_path / "locks" / "one"):
            pass


def test_a_grant_is_added_to_those_there_are() -> None:
    first = tenants.with_grant({}, "one", "artifacts", "a/")
    both = tenants.with_grant(first, "two", "artifacts", "b/")
    assert both["Statement"][:2] == first["Statement"]
    assert both["Statement"][2]["Resource"] == ["arn:aws:s3:::artifacts/b/*"]
