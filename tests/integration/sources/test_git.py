"""A Git repository as a source, served by a real git http-backend."""

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.debian import free_port
from tests.servers.gitserver import GitServer, git, git_server, pointer
from tests.unit.steps.sources.webserver import impatient
from tidemill.api.v1alpha1.datasource import GitSource
from tidemill.steps.failures import StepError
from tidemill.steps.sources import gitpack
from tidemill.steps.sources.git import Git

JANUARY, FEBRUARY = b"x,y\n1,2\n", b"x,y\n3,4\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    """A server with two months and what is no data."""
    (tmp_path / "server").mkdir()
    with git_server(tmp_path / "server") as made:
        made.commit(
            {
                "data/january.csv": JANUARY,
                "data/2026/february.csv.gz": gzip.compress(FEBRUARY, mtime=0),
                "data/README.md": b"# Tides",
            }
        )
        yield made


def source(server: GitServer, **body: Any) -> Git:
    """The source as a step opens it."""
    wanted = {"url": server.url, "path": "data/**", **body}
    return Git(GitSource.model_validate(wanted), impatient())


def contents(made: Any) -> dict[str, bytes]:
    """Path in the repository -> what was read."""
    return {item.name: item.path.read_bytes() for item in made.files}


def test_the_newest_commit_is_read(server: GitServer, tmp_path: Path) -> None:
    commit = git("rev-parse", "main", cwd=server.bare)
    found = source(server)

    assert found.look().fingerprint == commit
    made = found.read(tmp_path)

    assert contents(made) == {
        "data/january.csv": JANUARY,
        "data/2026/february.csv.gz": FEBRUARY,
    }
    assert (made.fingerprint, made.changed) == (commit, "2026-10-01T12:00:00Z")
    assert made.record is not None
    assert (made.record.kind, made.record.commit) == ("Git", commit)


def test_a_look_is_one_request(server: GitServer) -> None:
    source(server).look()

    assert server.asked == ["GET /harbour.git/info/refs"]


def test_history_is_not_fetched(server: GitServer, tmp_path: Path) -> None:
    noise = os.urandom(300_000)
    server.commit({"noise.bin": noise})
    server.commit({"noise.bin": None})

    made = source(server, maxBytes=100_000).read(tmp_path)

    assert set(contents(made)) == {"data/january.csv", "data/2026/february.csv.gz"}


REVISIONS = ["older", "refs/heads/older", "v1", "v1-light", "commit"]


@pytest.mark.parametrize("revision", REVISIONS)
def test_revisions(server: GitServer, tmp_path: Path, revision: str) -> None:
    commit = server.commit({"data/march.csv": b"x\n5\n"}, branch="older")
    git("tag", "-a", "v1", "-m", "one", commit, cwd=server.bare)
    git("tag", "v1-light", commit, cwd=server.bare)
    server.commit({"data/march.csv": b"x\n6\n"}, branch="main")
    server.commit({"data/march.csv": b"x\n7\n"}, branch="older2")
    wanted = commit if revision == "commit" else revision

    found = source(server, revision=wanted, path="data/march.csv")

    assert found.look().fingerprint == commit
    assert contents(found.read(tmp_path)) == {"data/march.csv": b"x\n5\n"}


def test_nothing_of_a_repository_is_run_or_followed(server: GitServer, tmp_path: Path) -> None:
    """Attributes with filters, hooks, links and submodules are what they are: bytes."""
    work = server.root / "work"
    (work / "data" / "secret.csv").symlink_to("/etc/passwd")
    server.commit(
        {
            ".gitattributes": b"*.csv filter=evil\n",
            ".gitconfig": b'[filter "evil"]\n\tsmudge = touch ran\n',
            "hooks/post-checkout": b"#!/bin/sh\ntouch ran\n",
            ".gitmodules": b'[submodule "x"]\n\tpath = data/x\n\turl = ext::sh -c touch% ran\n',
        }
    )
    made = source(server).read(tmp_path)

    assert set(contents(made)) == {"data/january.csv", "data/2026/february.csv.gz"}
    assert not list(tmp_path.rglob("ran"))


def test_files_in_git_lfs(server: GitServer, tmp_path: Path) -> None:
    large = b"x,y\n" + b"9,9\n" * 50_000
    server.commit({"data/large.csv": server.track(large), "data/gone.txt": pointer(b"gone")})

    found = contents(source(server).read(tmp_path))

    assert found["data/large.csv"] == large
    assert found["data/january.csv"] == JANUARY
    assert server.asked.count("POST /harbour.git/info/lfs/objects/batch") == 1


def test_a_file_that_was_never_pushed_to_git_lfs(server: GitServer, tmp_path: Path) -> None:
    server.commit({"data/large.csv": pointer(b"gone")})
    with pytest.raises(StepError) as raised:
        source(server).read(tmp_path)

    assert raised.value.reason == "NoObjects"
    assert str(raised.value) == (
        f"Git LFS has no object {hashlib.sha256(b'gone').hexdigest()[:12]}: Object does not exist;"
        " push it with git lfs push"
    )


def test_a_damaged_file_of_git_lfs(server: GitServer, tmp_path: Path) -> None:
    server.commit({"data/large.csv": server.track(b"x\n1\n")})
    server.lfs[hashlib.sha256(b"x\n1\n").hexdigest()] = b"x\n2\n"
    with pytest.raises(StepError) as raised:
        source(server).read(tmp_path)

    assert (raised.value.reason, raised.value.transient) == ("SourceChanged", True)


# --- DVC ----------------------------------------------------------------------------------------


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def dvc_file(name: str, content: bytes, *, modern: bool = True, suffix: str = "") -> bytes:
    """What dvc add writes."""
    hashed = "  hash: md5\n" if modern else ""
    return (
        f"outs:\n- md5: {md5(content)}{suffix}\n  size: {len(content)}\n{hashed}  path: {name}\n"
    ).encode()


def kept(content: bytes, *, modern: bool = True, suffix: str = "") -> str:
    """Where DVC keeps a content below a remote."""
    place = f"{md5(content)[:2]}/{md5(content)[2:]}{suffix}"
    return f"files/md5/{place}" if modern else place


def keep(remote: Path, content: bytes, *, modern: bool = True, suffix: str = "") -> None:
    """What dvc push does."""
    path = remote / kept(content, modern=modern, suffix=suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize("modern", [True, False], ids=["DVC 3", "DVC 2"])
def test_files_tracked_by_dvc(server: GitServer, tmp_path: Path, modern: bool) -> None:
    remote = tmp_path / "remote"
    listing = json.dumps(
        [
            {"md5": md5(FEBRUARY), "relpath": "deep/february.csv"},
            {"md5": md5(b"no"), "relpath": "notes.txt"},
        ]
    ).encode()
    for content, suffix in ((JANUARY, ""), (FEBRUARY, ""), (listing, ".dir")):
        keep(remote, content, modern=modern, suffix=suffix)
    server.commit(
        {
            "raw/january.csv.dvc": dvc_file("january.csv", JANUARY, modern=modern),
            "raw/months.dvc": dvc_file("months", listing, modern=modern, suffix=".dir"),
            "raw/pictures.dvc": dvc_file("../pictures", b"", modern=modern, suffix=".dir"),
        }
    )
    found = source(server, path="raw/**", dvcRemote=f"file://{remote}").read(tmp_path)

    assert contents(found) == {
        "raw/january.csv": JANUARY,
        "raw/months/deep/february.csv": FEBRUARY,
    }


def test_the_remote_of_the_repository_itself(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_token", "open-sesame")
    server.password = "open-sesame"
    config = f"[core]\n    remote = here\n['remote \"here\"']\n    url = {server.address}/dvc\n"
    server.commit(
        {".dvc/config": config.encode(), "raw/january.csv.dvc": dvc_file("january.csv", JANUARY)}
    )
    server.served[f"/dvc/{kept(JANUARY)}"] = JANUARY

    assert contents(source(server, path="raw/*").read(tmp_path)) == {"raw/january.csv": JANUARY}


def test_a_remote_on_another_server_is_told_no_password(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_token", "open-sesame")
    (tmp_path / "other").mkdir()
    with git_server(tmp_path / "other") as other:
        other.served[f"/dvc/{kept(JANUARY)}"] = JANUARY
        config = f"[core]\n    remote = o\n['remote \"o\"']\n    url = {other.address}/dvc\n"
        server.commit({".dvc/config": config.encode(), "raw/a.csv.dvc": dvc_file("a.csv", JANUARY)})
        found = contents(source(server, path="raw/*").read(tmp_path))

    assert found == {"raw/a.csv": JANUARY}
    assert other.credentials == {""}
    assert all(told.startswith("Basic ") for told in server.credentials)


DVC_WRONG: dict[str, tuple[bytes, str | None, str, str]] = {
    "never pushed": (
        dvc_file("a.csv", b"gone"),
        "s",
        "NoObjects",
        "DVC's content of raw/a.csv is not at ",
    ),
    "no remote": (
        dvc_file("a.csv", JANUARY),
        None,
        "InvalidUri",
        ".dvc/config names no remote that can be reached (no URL); set source.git.dvcRemote",
    ),
    "no md5": (b"outs:\n- path: a.csv\n", "s", "UnreadableObject", "raw/a.csv.dvc is no .dvc file"),
    "no YAML": (b"outs: [", "s", "UnreadableObject", "raw/a.csv.dvc is no .dvc file"),
    "an md5 that is a path": (
        b"outs:\n- md5: ../../../../etc/passwd\n  path: a.csv\n",
        "s",
        "UnreadableObject",
        "raw/a.csv.dvc is no .dvc file",
    ),
    "a path out of the repository": (
        dvc_file("../../a.csv", JANUARY),
        "s",
        "UnreadableObject",
        "raw/a.csv.dvc is no .dvc file",
    ),
}


@pytest.mark.parametrize(("written", "remote", "reason", "said"), DVC_WRONG.values(), ids=DVC_WRONG)
def test_dvc_files_that_cannot_be_read(
    server: GitServer,
    tmp_path: Path,
    written: bytes,
    remote: str | None,
    reason: str,
    said: str,
) -> None:
    server.commit({"raw/a.csv.dvc": written})
    (tmp_path / "remote").mkdir()
    more = {} if remote is None else {"dvcRemote": f"file://{tmp_path}/remote"}
    with pytest.raises(StepError) as raised:
        source(server, path="raw/*", **more).read(tmp_path)

    assert raised.value.reason == reason
    assert str(raised.value).startswith(said)


def test_a_path_of_this_machine_is_no_remote(server: GitServer, tmp_path: Path) -> None:
    config = b"[core]\n    remote = o\n['remote \"o\"']\n    url = /etc\n"
    server.commit({".dvc/config": config, "raw/a.csv.dvc": dvc_file("a.csv", JANUARY)})
    with pytest.raises(StepError) as raised:
        source(server, path="raw/*").read(tmp_path)

    assert raised.value.reason == "InvalidUri"


# --- what goes wrong ----------------------------------------------------------------------------


def test_a_password_is_asked_for(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.password = "open-sesame"
    server.commit({"data/large.csv": server.track(b"x\n1\n")})
    with pytest.raises(StepError) as raised:
        source(server).look()
    monkeypatch.setenv("SOURCE_token", "wrong-guess")
    with pytest.raises(StepError) as again:
        source(server).look()
    monkeypatch.setenv("SOURCE_token", "open-sesame")
    found = contents(source(server).read(tmp_path))

    assert (raised.value.reason, again.value.reason) == ("AccessDenied", "AccessDenied")
    assert "wrong-guess" not in str(again.value)
    assert found["data/large.csv"] == b"x\n1\n"


STATUSES = {
    "refused": (403, "AccessDenied", False),
    "not there": (404, "NoObjects", False),
    "down": (503, "SourceUnavailable", True),
    "moved": (301, "InvalidUri", False),
}


@pytest.mark.parametrize(("status", "reason", "transient"), STATUSES.values(), ids=STATUSES)
def test_statuses(server: GitServer, status: int, reason: str, transient: bool) -> None:
    server.status = status
    with pytest.raises(StepError) as raised:
        source(server).look()

    assert (raised.value.reason, raised.value.transient) == (reason, transient)


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "no such branch": (
        {"revision": "nowhere"},
        "NoObjects",
        "has no branch or tag nowhere; check source.git.revision",
    ),
    "no such commit": ({"revision": "1" * 40}, "NoObjects", "does not have commit 1111"),
    "nothing matches": (
        {"path": "data/*.parquet"},
        "NoObjects",
        "has no data files that match data/*.parquet at commit",
    ),
    "larger than it may be": ({"maxBytes": 300}, "ObjectTooLarge", "has more than 300 bytes"),
    "the metadata service": (
        {"url": "http://169.254.169.254/harbour.git"},
        "InvalidUri",
        "169.254.169.254 is at 169.254.169.254",
    ),
    "a password in its URL": (
        {"url": "http://me:open-sesame@127.0.0.1/harbour.git"},
        "InvalidUri",
        "http://127.0.0.1/harbour.git holds a user name or password",
    ),
    "nobody listens": (
        {"url": f"http://127.0.0.1:{free_port()}/harbour.git"},
        "SourceUnavailable",
        "cannot be reached",
    ),
}


@pytest.mark.parametrize(("body", "reason", "said"), WRONG.values(), ids=WRONG)
def test_repositories_that_cannot_be_read(
    server: GitServer, tmp_path: Path, body: dict[str, Any], reason: str, said: str
) -> None:
    with pytest.raises(StepError) as raised:
        source(server, **body).read(tmp_path)

    assert raised.value.reason == reason
    assert said in str(raised.value)
    assert "open-sesame" not in str(raised.value)


def test_a_bomb_in_a_pack(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gitpack.measure, "__defaults__", (1_000_000,))
    server.commit({"data/bomb.csv": b"0" * 2_000_000})
    assert len(zlib.compress(b"0" * 2_000_000)) < 3_000
    with pytest.raises(StepError) as raised:
        source(server, maxBytes=100_000).read(tmp_path)

    assert raised.value.reason == "ObjectTooLarge"
    assert str(raised.value).endswith("keep it in Git LFS or DVC")


def test_a_packed_bomb_in_git_lfs(server: GitServer, tmp_path: Path) -> None:
    server.commit({"data/bomb.csv.gz": server.track(gzip.compress(b"0" * 2_000_000))})
    with pytest.raises(StepError) as raised:
        source(server, maxBytes=100_000).read(tmp_path)

    assert raised.value.reason == "ObjectTooLarge"
