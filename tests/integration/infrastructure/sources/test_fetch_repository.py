import base64
import os
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from domain.errors import InvalidInputError, PermanentError, ServiceUnavailableError, Vibe8Error
from domain.sources import FetchedSource
from infrastructure.sources.git.clone import directory_size, fetch_repository
from infrastructure.sources.git.history import GitHistory
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import MIB, SourceLimits
from tests.fixtures.git_repository import WorkTree, git
from tests.fixtures.network.git_server import Fault, GitServer
from tests.fixtures.sources import copied_files

Fetch = Callable[..., FetchedSource]


@pytest.fixture
def fetch(git_server: GitServer, layout: SourceLayout) -> Fetch:
    def call(url: str, branch: str | None = None, token: str | None = None, **options: Any) -> FetchedSource:
        options = {
            "limits": SourceLimits(),
            "ca_bundle": git_server.ca_file,
            "allowed_hosts": [git_server.allowed_host],
            **options,
        }
        return fetch_repository(url, branch, token, layout, options.pop("limits"), **options)

    return call


def python_files(layout: SourceLayout) -> list[str]:
    return sorted(str(path.relative_to(layout.tree)) for path in copied_files(layout.tree))


def test_public_repository_is_fetched_with_its_history(
    fetch: Fetch, git_server: GitServer, work_tree: WorkTree, layout: SourceLayout, repository_name: str
) -> None:
    percentages: list[int] = []
    source = fetch(git_server.add(repository_name, work_tree.dot_git), on_progress=percentages.append)
    assert source == FetchedSource(has_history=True, commit_sha=work_tree.head(), branch="main")
    assert python_files(layout) == ["a.py", "pkg/run.py"]
    assert (layout.tree / "a.py").read_text() == "x = 1\ny = 2\n"
    assert (layout.tree / "pkg/run.py").stat().st_mode & 0o111
    assert not (layout.tree / "a.py").stat().st_mode & 0o111
    assert [path.name for path in layout.manifests.rglob("*")] == ["requirements.txt"]
    history = GitHistory(layout.repository)
    assert len(history.list_commits()) == 2
    assert sorted(history.numstat()) == [
        ("a.py", 1, 0),
        ("a.py", 1, 0),
        ("pkg/run.py", 1, 0),
    ]
    assert not history.is_shallow()
    assert percentages == sorted(percentages)
    assert percentages[-1] >= 80


def test_only_the_branch_is_fetched_into_a_bare_repository(
    fetch: Fetch, git_server: GitServer, work_tree: WorkTree, layout: SourceLayout, repository_name: str
) -> None:
    work_tree.git("checkout", "-q", "-b", "other")
    other = work_tree.commit(other_py="z = 1\n")
    work_tree.git("tag", "v1")
    work_tree.git("checkout", "-q", "main")
    fetch(git_server.add(repository_name, work_tree.dot_git))
    assert git(layout.repository, "rev-parse", "--is-bare-repository") == b"true\n"
    refs = git(layout.repository, "for-each-ref", "--format=%(refname)")
    assert refs == b"refs/heads/analysed\n"
    known = git(layout.repository, "cat-file", "--batch-check", stdin=other.encode())
    assert known.endswith(b"missing\n")


def test_named_branch_is_fetched(
    fetch: Fetch, git_server: GitServer, work_tree: WorkTree, layout: SourceLayout, repository_name: str
) -> None:
    work_tree.git("checkout", "-q", "-b", "feature/ünï")
    sha = work_tree.commit(only_there_py="z = 1\n")
    work_tree.git("checkout", "-q", "main")
    source = fetch(git_server.add(repository_name, work_tree.dot_git), "feature/ünï")
    assert (source.branch, source.commit_sha) == ("feature/ünï", sha)
    assert "only_there.py" in python_files(layout)


def test_default_branch_is_that_of_head(
    fetch: Fetch, git_server: GitServer, tmp_path: Path, repository_name: str
) -> None:
    tree = WorkTree(tmp_path / "w", branch="trunk")
    sha = tree.commit(a_py="x = 1\n")
    source = fetch(git_server.add(repository_name, tree.dot_git))
    assert (source.branch, source.commit_sha) == ("trunk", sha)


def test_detached_head_has_a_commit_and_no_branch(
    fetch: Fetch, git_server: GitServer, work_tree: WorkTree, repository_name: str
) -> None:
    first = work_tree.git("rev-parse", "HEAD~1").decode().strip()
    work_tree.git("checkout", "-q", "--detach", first)
    source = fetch(git_server.add(repository_name, work_tree.dot_git))
    assert (source.branch, source.commit_sha) == (None, first)


def test_token_is_sent_for_a_private_repository(
    fetch: Fetch, git_server: GitServer, work_tree: WorkTree, layout: SourceLayout, repository_name: str
) -> None:
    url = git_server.add(repository_name, work_tree.dot_git, token="s3cret-token")
    source = fetch(url, token="s3cret-token")
    assert source.commit_sha == work_tree.head()
    sent = {headers.get("Authorization") for _, path, headers in git_server.requests if repository_name in path}
    assert sent == {"Basic " + base64.b64encode(b"x-access-token:s3cret-token").decode()}


@pytest.mark.parametrize(
    ("token", "message"), [(None, "authentication required"), ("wr0ng", "does not accept the token")]
)
def test_private_repository_without_a_valid_token_is_refused(
    fetch: Fetch, git_server: GitServer, work_tree: WorkTree, repository_name: str, token: str | None, message: str
) -> None:
    url = git_server.add(repository_name, work_tree.dot_git, token="s3cret-token")
    with pytest.raises(PermanentError, match=message):
        fetch(url, token=token)


def test_token_is_in_no_argument_and_no_file(
    fetch: Fetch,
    git_server: GitServer,
    work_tree: WorkTree,
    layout: SourceLayout,
    repository_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = tmp_path / "arguments"
    shim = tmp_path / "bin" / "git"
    shim.parent.mkdir()
    real = shutil.which("git")
    shim.write_text(f'#!/bin/sh\nprintf "%s " "$@" >>{log}\nprintf "\\n" >>{log}\nexec {real} "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
    fetch(git_server.add(repository_name, work_tree.dot_git, token="s3cret-token"), token="s3cret-token")
    encoded = base64.b64encode(b"x-access-token:s3cret-token").decode()
    commands = log.read_text()
    assert "\nls-remote " in commands
    assert "\nfetch " in commands
    assert "s3cret" not in commands
    assert encoded not in commands
    for file in layout.root.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"s3cret" not in content
            assert encoded.encode() not in content


def test_error_does_not_contain_a_token_that_the_host_echoes(
    fetch: Fetch, git_server: GitServer, repository_name: str
) -> None:
    url = git_server.fail(repository_name, Fault(500, {"Content-Type": "text/plain"}, b"your token is s3cret-token\n"))
    with pytest.raises(ServiceUnavailableError) as raised:
        fetch(url, token="s3cret-token")
    assert "s3cret" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_missing_repository_is_refused(fetch: Fetch, git_server: GitServer, repository_name: str) -> None:
    with pytest.raises(PermanentError, match="repository not found"):
        fetch(git_server.url(repository_name))


def test_empty_repository_is_refused(fetch: Fetch, git_server: GitServer, tmp_path: Path, repository_name: str) -> None:
    with pytest.raises(InvalidInputError, match="the repository is empty"):
        fetch(git_server.add(repository_name, WorkTree(tmp_path / "empty").dot_git))


def test_missing_branch_is_refused(
    fetch: Fetch, git_server: GitServer, work_tree: WorkTree, repository_name: str
) -> None:
    with pytest.raises(InvalidInputError, match="branch 'nope' not found"):
        fetch(git_server.add(repository_name, work_tree.dot_git), "nope")


def test_branch_must_match_the_full_ref_name(
    fetch: Fetch, git_server: GitServer, work_tree: WorkTree, repository_name: str
) -> None:
    work_tree.git("update-ref", "refs/heads/refs/heads/tail", "HEAD")
    with pytest.raises(InvalidInputError, match="branch 'tail' not found"):
        fetch(git_server.add(repository_name, work_tree.dot_git), "tail")


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (403, PermanentError, "access denied"),
        (410, PermanentError, "repository not found"),
        (429, ServiceUnavailableError, "429"),
        (500, ServiceUnavailableError, "500"),
        (503, ServiceUnavailableError, "503"),
    ],
)
def test_http_status_of_the_host_determines_the_error(
    fetch: Fetch, git_server: GitServer, repository_name: str, status: int, kind: type[Vibe8Error], message: str
) -> None:
    with pytest.raises(kind, match=message):
        fetch(git_server.fail(repository_name, Fault(status)))


def test_web_page_is_refused(fetch: Fetch, git_server: GitServer, repository_name: str) -> None:
    url = git_server.fail(repository_name, Fault(200, {"Content-Type": "text/html"}, b"<html>welcome</html>"))
    with pytest.raises(PermanentError, match="not a git repository"):
        fetch(url)


def test_stalled_transfer_is_aborted(fetch: Fetch, git_server: GitServer, repository_name: str) -> None:
    with pytest.raises(ServiceUnavailableError, match="connection to the git host"):
        fetch(git_server.stall(repository_name), stall_seconds=1)


def test_untrusted_certificate_is_refused(
    fetch: Fetch, git_server: GitServer, work_tree: WorkTree, repository_name: str
) -> None:
    url = git_server.add(repository_name, work_tree.dot_git)
    before = len(git_server.requests)
    with pytest.raises(PermanentError, match="TLS certificate"):
        fetch(url, ca_bundle=None)
    assert len(git_server.requests) == before


def test_closed_port_is_a_temporary_error(fetch: Fetch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ServiceUnavailableError, match="cannot be reached"):
            fetch(f"https://{host}/o/r", allowed_hosts=[host])


def test_git_connects_to_the_checked_address_without_dns(
    fetch: Fetch, git_server: GitServer, work_tree: WorkTree, monkeypatch: pytest.MonkeyPatch, repository_name: str
) -> None:
    # No DNS server knows this name, so the fetch succeeds only if git makes no query.
    def getaddrinfo(host: str, port: int, **_: Any) -> Sequence[Any]:
        assert host == "git.example.test"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    git_server.add(repository_name, work_tree.dot_git)
    host = f"git.example.test:{git_server.port}"
    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", getaddrinfo)
        patched.setattr(socket, "create_connection", lambda *_, **__: socket.socket())
        source = fetch(f"https://{host}/{repository_name}", allowed_hosts=[host])
    assert source.commit_sha == work_tree.head()


def test_shallow_repository_is_reported_as_shallow(
    fetch: Fetch,
    git_server: GitServer,
    work_tree: WorkTree,
    layout: SourceLayout,
    tmp_path: Path,
    repository_name: str,
) -> None:
    git(tmp_path, "clone", "-q", "--bare", "--depth=1", f"file://{work_tree.path}", "shallow.git")
    source = fetch(git_server.add(repository_name, tmp_path / "shallow.git"))
    assert source.shallow
    assert source.has_history
    assert GitHistory(layout.repository).is_shallow()
    assert len(GitHistory(layout.repository).list_commits()) == 1


def test_clone_stops_at_its_size_limit(
    fetch: Fetch, git_server: GitServer, work_tree: WorkTree, layout: SourceLayout, repository_name: str
) -> None:
    work_tree.write("blob.bin", os.urandom(3 * MIB))
    work_tree.commit()
    with pytest.raises(InvalidInputError, match=r"larger than 1 MB \(MAX_CLONE_MB\)"):
        fetch(git_server.add(repository_name, work_tree.dot_git), limits=SourceLimits(max_clone_bytes=MIB))
    assert directory_size(layout.root) < 2 * MIB


def test_repository_without_python_files_is_refused(
    fetch: Fetch, git_server: GitServer, tmp_path: Path, repository_name: str
) -> None:
    tree = WorkTree(tmp_path / "w")
    tree.write("README.md", "hello\n")
    tree.commit()
    with pytest.raises(InvalidInputError, match="the repository has no Python file"):
        fetch(git_server.add(repository_name, tree.dot_git))


def test_links_submodules_and_large_files_are_skipped(
    fetch: Fetch, git_server: GitServer, work_tree: WorkTree, layout: SourceLayout, repository_name: str
) -> None:
    (work_tree.path / "link.py").symlink_to("a.py")
    work_tree.write("venv/lib/x.py", "x = 1\n")
    work_tree.write("big.py", b"x" * (2 * MIB + 1))
    work_tree.git("add", "-A", "-f")
    work_tree.git("update-index", "--add", "--cacheinfo", f"160000,{work_tree.head()},sub.py")
    work_tree.git("commit", "-q", "-m", "odd")
    source = fetch(git_server.add(repository_name, work_tree.dot_git))
    assert {item.path: item.reason for item in source.skipped} == {
        "big.py": "larger than 2048 KB",
        "link.py": "symbolic link",
        "sub.py": "submodule",
        "venv": "excluded directory",
    }
    assert python_files(layout) == ["a.py", "pkg/run.py"]


def test_blob_with_many_names_is_written_under_each(
    fetch: Fetch, git_server: GitServer, work_tree: WorkTree, layout: SourceLayout, repository_name: str
) -> None:
    for number in range(300):
        work_tree.write(f"copies/{number:03}.py", "same = True\n" * 1000)
    work_tree.commit()
    fetch(git_server.add(repository_name, work_tree.dot_git))
    copies = list((layout.tree / "copies").iterdir())
    assert len(copies) == 300
    assert {path.read_text() for path in copies} == {"same = True\n" * 1000}


def test_old_git_is_refused(
    fetch: Fetch,
    git_server: GitServer,
    work_tree: WorkTree,
    repository_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shim = tmp_path / "bin" / "git"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\necho git version 2.36.9\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
    before = len(git_server.requests)
    with pytest.raises(PermanentError, match=r"git 2\.37 or newer"):
        fetch(git_server.add(repository_name, work_tree.dot_git))
    assert len(git_server.requests) == before
