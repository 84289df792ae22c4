"""Hostile repositories, URLs, branches and hosts. Where possible, each attack is first shown to work on plain git."""

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.errors import InvalidInputError, PermanentError
from domain.sources import FetchedSource
from infrastructure.sources.git.clone import fetch_repository
from infrastructure.sources.git.command import GitFailedError, run_git
from infrastructure.sources.git.history import GitHistory
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import SourceLimits
from tests.fixtures.git_repository import IDENTITY, WorkTree, git
from tests.fixtures.network.git_server import Fault, GitServer
from tests.fixtures.sources import copied_files

Fetch = Callable[..., FetchedSource]


@pytest.fixture
def fetch(git_server: GitServer, layout: SourceLayout) -> Fetch:
    def call(url: str, branch: str | None = None, **limits: int) -> FetchedSource:
        hosts = [git_server.allowed_host, "github.com"]
        options: dict[str, Any] = {"ca_bundle": git_server.ca_file, "allowed_hosts": hosts}
        return fetch_repository(url, branch, None, layout, SourceLimits(**limits), **options)

    return call


def plain_git(
    git_server: GitServer, directory: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run git without any protection; it only trusts the host's certificate."""
    base = {"PATH": os.environ["PATH"], "HOME": str(directory), "GIT_SSL_CAINFO": str(git_server.ca_file)}
    command = ["git", *arguments]
    return subprocess.run(
        command, cwd=directory, env={**base, **IDENTITY, **environment}, capture_output=True, check=False
    )


# URLs, branches and hosts


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% MARKER", "ext::sh%20-c%20touch%20MARKER", "file:///etc", "/etc", "ssh://-oProxyCommand=touch/x/y",
        "git@github.com:o/r", "http://github.com/o/r", "https://user:pass@github.com/o/r", "https://github.com@evil.test/o/r",
        "https://evil.test/o/r", "https://github.com.evil.test/o/r", "https://github.com:444/o/r", "--upload-pack=x",
        "https://github.com/o/r?service=x", "https://github.com/o/r#x", "https://github.com/../r", "https://github.com/o/-r",
        "https://github.com/o/r\n", "https://github.com/%2e%2e/r", "https://github.com/o", "https://GITHUB.com\\@evil.test/o/r",
        "https://[::1]/o/r", "https://2130706433/o/r", "https://0x7f.1/o/r", "https://g\u0131thub.com/o/r",
    ],
)  # fmt: skip
def test_url_outside_the_allowed_hosts_is_refused(
    fetch: Fetch, layout: SourceLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        pytest.fail("a DNS query was made")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(InvalidInputError):
        fetch(url.replace("MARKER", str(tmp_path / "marker")))
    assert list(layout.root.iterdir()) == []
    assert not (tmp_path / "marker").exists()


def test_ext_transport_is_refused_by_git(git_server: GitServer, small_tree: WorkTree, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    url = f"ext::touch {marker}"
    plain_git(git_server, tmp_path, "ls-remote", url, GIT_ALLOW_PROTOCOL="ext")
    assert marker.exists()
    marker.unlink()
    with pytest.raises(GitFailedError, match="not allowed"):
        run_git(small_tree.dot_git, "ls-remote", url, protocols="https")
    assert not marker.exists()


def test_file_url_is_refused_by_git(git_server: GitServer, small_tree: WorkTree, tmp_path: Path) -> None:
    assert plain_git(git_server, tmp_path, "ls-remote", f"file://{small_tree.path}").returncode == 0
    for protocols in ("https", "none"):
        with pytest.raises(GitFailedError, match="not allowed"):
            run_git(small_tree.dot_git, "ls-remote", f"file://{small_tree.path}", protocols=protocols)


@pytest.mark.parametrize(
    "branch",
    [
        "-x",
        "--upload-pack=touch x",
        "a..b",
        "@{-1}",
        "@",
        "a^",
        "a~1",
        "a:b",
        "+a",
        "a b",
        "a\nb",
        "/a",
        "a/",
        "a.lock",
        "a//b",
        "*",
        "",
    ],
)
def test_branch_that_is_an_option_or_a_revision_is_refused(
    fetch: Fetch, git_server: GitServer, small_tree: WorkTree, repository_name: str, branch: str
) -> None:
    with pytest.raises(InvalidInputError, match="branch"):
        fetch(git_server.add(repository_name, small_tree.dot_git), branch)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_not_followed(
    fetch: Fetch, git_server: GitServer, small_tree: WorkTree, tmp_path: Path, repository_name: str, status: int
) -> None:
    target = git_server.add(f"{repository_name}-target", small_tree.dot_git)
    location = {"Location": f"{target}/info/refs?service=git-upload-pack"}
    url = git_server.fail(repository_name, Fault(status, location))
    assert plain_git(git_server, tmp_path, "ls-remote", url).returncode == 0
    before = len([path for _, path, _ in git_server.requests if "-target" in path])
    assert before > 0
    with pytest.raises(PermanentError, match="redirect; give its new URL"):
        fetch(url)
    assert len([path for _, path, _ in git_server.requests if "-target" in path]) == before


def test_name_with_a_private_address_is_refused(
    fetch: Fetch, layout: SourceLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: private)
    with pytest.raises(InvalidInputError, match="private address"):
        fetch("https://github.com/owner/repository")
    assert not layout.tree.exists()


def test_proxy_of_the_environment_is_not_used(
    fetch: Fetch,
    git_server: GitServer,
    small_tree: WorkTree,
    repository_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = git_server.add(repository_name, small_tree.dot_git)
    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    assert plain_git(git_server, tmp_path, "ls-remote", url, HTTPS_PROXY="http://127.0.0.1:1").returncode != 0
    assert fetch(url).commit_sha == small_tree.head()


def test_netrc_is_not_used(
    fetch: Fetch,
    git_server: GitServer,
    small_tree: WorkTree,
    repository_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text("machine 127.0.0.1 login x password operators-own\n")
    (home / ".netrc").chmod(0o600)
    url = git_server.add(repository_name, small_tree.dot_git, token="operators-own")
    assert plain_git(git_server, tmp_path, "ls-remote", url, HOME=str(home)).returncode == 0
    monkeypatch.setenv("HOME", str(home))
    with pytest.raises(PermanentError, match="authentication required"):
        fetch(url)


# Content of the repository


def marker_program(tmp_path: Path) -> tuple[Path, Path]:
    """Make a program that creates a marker file. Returns the paths of the program and the marker."""
    program, marker = tmp_path / "program", tmp_path / "marker"
    program.write_text(f"#!/bin/sh\ntouch {marker}\n")
    program.chmod(0o755)
    return program, marker


def test_submodule_is_skipped(
    fetch: Fetch, git_server: GitServer, small_tree: WorkTree, repository_name: str, tmp_path: Path
) -> None:
    _, marker = marker_program(tmp_path)
    small_tree.write(".gitmodules", f'[submodule "s"]\n\tpath = s\n\turl = ext::touch {marker}\n')
    small_tree.git("add", "-A")
    small_tree.git("update-index", "--add", "--cacheinfo", f"160000,{small_tree.head()},s")
    small_tree.git("commit", "-q", "-m", "a submodule")
    url = git_server.add(repository_name, small_tree.dot_git)
    plain_git(git_server, tmp_path, "clone", "-q", "--recurse-submodules", url, "plain", GIT_ALLOW_PROTOCOL="https:ext")
    assert marker.exists()
    marker.unlink()
    source = fetch(url)
    assert [(item.path, item.reason) for item in source.skipped] == [("s", "submodule")]
    assert not marker.exists()


def test_filter_named_in_the_tree_does_not_run(
    fetch: Fetch,
    git_server: GitServer,
    small_tree: WorkTree,
    layout: SourceLayout,
    repository_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Git LFS is such a filter. The operator's own configuration defines its program.
    program, marker = marker_program(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[filter "lfs"]\n\tsmudge = {program}\n')
    small_tree.write(".gitattributes", "*.py filter=lfs\n")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12\n"
    small_tree.commit(model_py=pointer)
    url = git_server.add(repository_name, small_tree.dot_git)
    plain_git(
        git_server, tmp_path, "clone", "-q", url, "plain", HOME=str(home), GIT_CONFIG_GLOBAL=str(home / ".gitconfig")
    )
    assert marker.exists()
    marker.unlink()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    fetch(url)
    assert not marker.exists()
    assert (layout.tree / "model.py").read_text() == pointer


def raw_tree(small_tree: WorkTree, *entries: tuple[str, bytes, str]) -> str:
    """Write a malformed tree object from (mode, name, object id). Returns its id."""
    body = b"".join(f"{mode} ".encode() + name + b"\0" + bytes.fromhex(sha) for mode, name, sha in entries)
    return small_tree.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=body).decode().strip()


def commit_tree(small_tree: WorkTree, tree: str) -> str:
    sha = small_tree.git("commit-tree", tree, "-m", "crafted").decode().strip()
    small_tree.git("update-ref", "refs/heads/main", sha)
    return sha


def test_names_that_leave_the_tree_are_refused(
    fetch: Fetch, git_server: GitServer, small_tree: WorkTree, layout: SourceLayout, repository_name: str
) -> None:
    blob = small_tree.git("rev-parse", "HEAD:a.py").decode().strip()
    up = raw_tree(small_tree, ("100644", b"evil.py", blob))
    dot_git = raw_tree(small_tree, ("100755", b"post-checkout.py", blob))
    crafted = raw_tree(
        small_tree,
        ("40000", b"..", up), ("40000", b".git", dot_git), ("40000", b".", up), ("100644", b"good.py", blob),
        ("100644", b"sl/ash.py", blob), ("100644", b"/abs.py", blob),
    )  # fmt: skip
    commit_tree(small_tree, crafted)
    source = fetch(git_server.add(repository_name, small_tree.dot_git))
    assert {item.path: item.reason for item in source.skipped} == {
        "../evil.py": "unsafe name",
        ".git": "excluded directory",
        "./evil.py": "unsafe name",
        "/abs.py": "unsafe name",
    }
    files = {str(path.relative_to(layout.root)) for path in layout.root.rglob("*.py")}
    assert files == {"tree/good.py", "tree/sl/ash.py"}
    assert not list(layout.root.parent.rglob("evil.py"))


def test_file_is_not_written_through_a_link_of_the_same_name(
    fetch: Fetch,
    git_server: GitServer,
    small_tree: WorkTree,
    layout: SourceLayout,
    repository_name: str,
    tmp_path: Path,
) -> None:
    # As in CVE-2021-21300: a symbolic link, and then a file below a directory of the same name.
    outside = tmp_path / "outside"
    outside.mkdir()
    blob = small_tree.git("rev-parse", "HEAD:a.py").decode().strip()
    link = small_tree.git("hash-object", "-w", "--stdin", stdin=os.fsencode(outside)).decode().strip()
    inner = raw_tree(small_tree, ("100644", b"x.py", blob))
    crafted = raw_tree(
        small_tree, ("120000", b"d", link), ("40000", b"d", inner), ("120000", b"l.py", link), ("100644", b"l.py", blob)
    )
    commit_tree(small_tree, crafted)
    source = fetch(git_server.add(repository_name, small_tree.dot_git))
    assert list(outside.iterdir()) == []
    assert {item.path for item in source.skipped} == {"d", "l.py"}
    assert {str(path.relative_to(layout.tree)) for path in copied_files(layout.tree)} == {"d/x.py", "l.py"}
    assert not any(path.is_symlink() for path in layout.root.rglob("*"))


def test_default_branch_that_is_an_option_is_refused(
    fetch: Fetch, git_server: GitServer, small_tree: WorkTree, repository_name: str, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(small_tree.path), "evil.git")
    evil = tmp_path / "evil.git"
    (evil / "refs/heads/-x").write_text(small_tree.head() + "\n")
    (evil / "HEAD").write_text("ref: refs/heads/-x\n")
    with pytest.raises(InvalidInputError, match="'-x' is not a branch name"):
        fetch(git_server.add(repository_name, evil))


def test_replace_refs_of_the_host_are_not_fetched(
    fetch: Fetch, git_server: GitServer, small_tree: WorkTree, layout: SourceLayout, repository_name: str
) -> None:
    first = small_tree.head()
    head = small_tree.commit(a_py="x = 2\n")
    small_tree.git("replace", "--graft", head)
    fetch(git_server.add(repository_name, small_tree.dot_git))
    assert GitHistory(layout.repository).list_commits().ids() == [head, first]


def test_http_alternates_are_not_followed(
    fetch: Fetch, git_server: GitServer, small_tree: WorkTree, repository_name: str
) -> None:
    # In the old "dumb" HTTP protocol the host can name another host for the objects.
    head = small_tree.head()
    url = git_server.url(repository_name)
    git_server.faults_by_path[f"/{repository_name}/info/refs"] = Fault(
        200, {"Content-Type": "text/plain"}, f"{head}\trefs/heads/main\n".encode()
    )
    git_server.faults_by_path[f"/{repository_name}/HEAD"] = Fault(
        200, {"Content-Type": "text/plain"}, b"ref: refs/heads/main\n"
    )
    other = git_server.url("other-host/objects")
    git_server.faults_by_path[f"/{repository_name}/objects/info/http-alternates"] = Fault(
        200, {"Content-Type": "text/plain"}, f"{other}\n".encode()
    )
    with pytest.raises(PermanentError):
        fetch(url, "main")
    requested = [path for _, path, _ in git_server.requests]
    assert any(path.startswith(f"/{repository_name}/objects/") for path in requested)
    assert not any(path.startswith("/other-host/") for path in requested)
