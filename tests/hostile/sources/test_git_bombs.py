"""Git bombs: repositories of a few kilobytes with billions of paths, in the tree or only in the history."""

import base64
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import zipfile
import zlib

import pytest

from domain.errors import InvalidInputError, PermanentError
from infrastructure.sources.git.clone import directory_size, fetch_repository
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import MIB, SourceLimits
from infrastructure.sources.uploads.upload import fetch_upload
from tests.fixtures.archives import make_zip
from tests.fixtures.git_repository import WorkTree, git
from tests.fixtures.network.git_server import GitServer
from tests.fixtures.sources import copied_files

LEVELS, WIDTH = 10, 10
"""Depth of the bomb and entries per directory: ten billion files."""


def fetch(git_server: GitServer, url: str, layout: SourceLayout, **limits: int) -> object:
    return fetch_repository(
        url,
        None,
        None,
        layout,
        SourceLimits(**limits),
        ca_bundle=git_server.ca_file,
        allowed_hosts=[git_server.allowed_host],
    )


def make_tree(small_tree: WorkTree, entries: list[tuple[str, str, str]]) -> str:
    """Write a tree object from (kind, object id, name). Returns its id."""
    modes = {"tree": "040000", "blob": "100644"}
    listing = "".join(f"{modes[kind]} {kind} {sha}\t{name}\n" for kind, sha, name in entries)
    return small_tree.git("mktree", stdin=listing.encode()).decode().strip()


def write_tree_object(small_tree: WorkTree, body: bytes) -> str:
    """Write a tree object directly, because a git process for each of thousands would be slow. Returns its id."""
    content = b"tree %d\0" % len(body) + body
    sha = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    directory = small_tree.dot_git / "objects" / sha[:2]
    directory.mkdir(exist_ok=True)
    (directory / sha[2:]).write_bytes(zlib.compress(content))
    return sha


def make_bomb(small_tree: WorkTree, extension: str, *, levels: int = LEVELS) -> str:
    blob = small_tree.git("rev-parse", "HEAD:a.py").decode().strip()
    tree = make_tree(small_tree, [("blob", blob, f"{number}{extension}") for number in range(WIDTH)])
    for _ in range(levels - 1):
        tree = make_tree(small_tree, [("tree", tree, f"d{number}") for number in range(WIDTH)])
    return tree


def commit(small_tree: WorkTree, tree: str, *parents: str) -> str:
    options = [option for parent in parents for option in ("-p", parent)]
    sha = small_tree.git("commit-tree", tree, "-m", "boom", *options).decode().strip()
    small_tree.git("update-ref", "refs/heads/main", sha)
    return sha


@pytest.mark.parametrize(("extension", "message"), [(".py", "MAX_TREE_FILES"), (".txt", "entries")])
def test_tree_of_ten_billion_files_is_refused(
    git_server: GitServer,
    small_tree: WorkTree,
    layout: SourceLayout,
    repository_name: str,
    extension: str,
    message: str,
) -> None:
    commit(small_tree, make_bomb(small_tree, extension))
    assert directory_size(small_tree.dot_git / "objects") < 300_000
    with pytest.raises(InvalidInputError, match=message):
        fetch(git_server, git_server.add(repository_name, small_tree.dot_git), layout, max_tree_files=1000)
    assert directory_size(layout.root) < MIB


def test_megabyte_blob_with_a_thousand_names_is_refused(
    git_server: GitServer, small_tree: WorkTree, layout: SourceLayout, repository_name: str
) -> None:
    small_tree.commit(a_py="x = 1\n" * 170_000)
    blob = small_tree.git("rev-parse", "HEAD:a.py").decode().strip()
    commit(small_tree, make_tree(small_tree, [("blob", blob, f"{number:04}.py") for number in range(1000)]))
    with pytest.raises(InvalidInputError, match="MAX_CLONE_MB"):
        fetch(git_server, git_server.add(repository_name, small_tree.dot_git), layout, max_clone_bytes=20 * MIB)
    assert directory_size(layout.root) < 25 * MIB


def test_tree_with_thousands_of_levels_does_not_crash(
    git_server: GitServer, small_tree: WorkTree, layout: SourceLayout, repository_name: str
) -> None:
    blob = small_tree.git("rev-parse", "HEAD:a.py").decode().strip()
    tree = make_tree(small_tree, [("blob", blob, "a.py")])
    for _ in range(3000):
        tree = write_tree_object(small_tree, b"40000 d\0" + bytes.fromhex(tree))
    commit(small_tree, make_tree(small_tree, [("blob", blob, "good.py"), ("tree", tree, "deep")]))
    try:
        fetch(git_server, git_server.add(repository_name, small_tree.dot_git), layout)
    except PermanentError as error:  # newer versions of git refuse such a tree
        assert "\n" not in str(error)  # noqa: PT017
    else:
        files = copied_files(layout.tree)
        assert files == [layout.tree / "good.py"]


READ_HISTORY = """
import json, sys
from pathlib import Path
from collectors.metrics.churn import COLLECTOR
from tests.unit.collectors.source_trees import load_tree
from domain.errors import PermanentError
from infrastructure.sources.git.history import GitHistory
root = Path(sys.argv[1])
try:
    history = GitHistory(root / "repo.git")
    facts = COLLECTOR.collect_tree(load_tree(root / "tree", history=history))
    print(json.dumps({"facts": {name: facts[name] for name in ("commits", "total", "lines", "shallow")}}))
except PermanentError as error:
    print(json.dumps({"error": str(error)}))
"""


def read_history(layout: SourceLayout, *, memory: int) -> dict[str, object]:
    """Collect churn in a process with a limit on its address space, as in the sandbox; git inherits the limit."""
    result = subprocess.run(
        [sys.executable, "-c", READ_HISTORY, str(layout.root)],
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
    )
    answer: dict[str, object] = json.loads(result.stdout)
    return answer


def test_bomb_in_the_history_fails_churn_with_a_reason(
    git_server: GitServer, small_tree: WorkTree, layout: SourceLayout, repository_name: str
) -> None:
    clean = small_tree.git("rev-parse", "HEAD^{tree}").decode().strip()
    bomb = commit(small_tree, make_bomb(small_tree, ".py"), small_tree.head())
    commit(small_tree, clean, bomb)
    fetch(git_server, git_server.add(repository_name, small_tree.dot_git), layout)
    assert [path.name for path in copied_files(layout.tree)] == ["a.py"]
    answer = read_history(layout, memory=512 * MIB)
    assert str(answer["error"]).startswith("the history cannot be read: ")
    assert "\n" not in str(answer["error"])


def test_same_memory_limit_is_enough_for_an_ordinary_history(
    git_server: GitServer, small_tree: WorkTree, layout: SourceLayout, repository_name: str
) -> None:
    fetch(git_server, git_server.add(repository_name, small_tree.dot_git), layout)
    assert read_history(layout, memory=512 * MIB) == {
        "facts": {"commits": 1, "total": 1, "lines": {"a.py": 1}, "shallow": False}
    }


def test_uploaded_bomb_is_verified_without_visiting_every_path(small_tree: WorkTree, layout: SourceLayout) -> None:
    clean = small_tree.git("rev-parse", "HEAD^{tree}").decode().strip()
    commit(small_tree, clean, commit(small_tree, make_bomb(small_tree, ".py"), small_tree.head()))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(small_tree.path.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(small_tree.path))
    source = fetch_upload("u.zip", base64.b64encode(buffer.getvalue()).decode(), layout, SourceLimits())
    assert source.has_history
    assert git(layout.repository, "rev-list", "--count", "HEAD") == b"3\n"


def pack_header(kind: int, size: int) -> bytes:
    header, size, rest = bytearray(), size & 15 | kind << 4, size >> 4
    while rest:
        header.append(size | 0x80)
        size, rest = rest & 0x7F, rest >> 7
    return bytes([*header, size])


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def pack_of_a_large_blob_and_its_delta(size: int) -> bytes:
    """Return a pack of `size` / 1000 bytes, for which `git index-pack` holds two objects of that size in memory."""
    base = bytes(size)
    name = hashlib.sha1(b"blob %d\0" % size + base, usedforsecurity=False).digest()
    copy = bytes([0xF0]) + (0xFFFFFF).to_bytes(3, "little")  # from offset 0, the longest piece
    count, rest = divmod(size - 1, 0xFFFFFF)
    delta = varint(size) * 2 + b"\x01x" + copy * count + bytes([0xF0]) + rest.to_bytes(3, "little")
    objects = [
        pack_header(3, size) + zlib.compress(base, 9),
        pack_header(7, len(delta)) + name + zlib.compress(delta),
    ]
    pack = b"PACK" + (2).to_bytes(4) + len(objects).to_bytes(4) + b"".join(objects)
    return pack + hashlib.sha1(pack, usedforsecurity=False).digest()


FETCH_UPLOAD = """
import json, sys
from pathlib import Path
from domain.errors import PermanentError
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import SourceLimits
from infrastructure.sources.uploads.upload import fetch_upload
source = fetch_upload("u.zip", sys.stdin.read(), SourceLayout(Path(sys.argv[1])), SourceLimits())
print(json.dumps([source.has_history, [[item.path, item.reason] for item in source.skipped]]))
"""


@pytest.mark.parametrize(
    ("memory", "expected"), [(96 * MIB, "Out of memory"), (1024 * MIB, "HEAD's commit is missing")]
)
def test_pack_that_takes_more_memory_than_a_fetch_has_costs_the_history_only(
    layout: SourceLayout, memory: int, expected: str
) -> None:
    pack = pack_of_a_large_blob_and_its_delta(48 * MIB)
    assert len(pack) < 60_000
    members = {
        "a.py": b"x = 1\n",
        ".git/HEAD": b"ref: refs/heads/main\n",
        ".git/refs/heads/main": b"1" * 40 + b"\n",
        f".git/objects/pack/pack-{'1' * 40}.pack": pack,
    }
    result = subprocess.run(
        [sys.executable, "-c", FETCH_UPLOAD, str(layout.root)],
        input=base64.b64encode(make_zip(members)),
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
    )
    has_history, [[path, reason]] = json.loads(result.stdout)
    assert (has_history, path) == (False, ".git")
    assert expected in reason
