"""Churn that resumes from the stored state of an earlier run gives the same numbers as reading the whole history."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.history import commit_tally, packed_tally
from collectors.metrics.churn import COLLECTOR
from collectors.source.source_tree import SourceTree
from domain.history.commits import CommitList
from domain.history.document import TOO_LONG
from infrastructure.sources.git.history import GitHistory, PathMapping
from tests.fixtures.git_repository import WorkTree, git
from tests.unit.collectors.source_trees import load_tree

Starts = list[str | None]
"""Commit from which each read of the history started; None is the whole history."""


class RecordedHistory(GitHistory):
    """History that records from which commit it was read."""

    def __init__(self, repository: Path) -> None:
        super().__init__(repository)
        self.starts: Starts = []

    def list_commits(self, *, since: str | None = None) -> CommitList:
        self.starts.append(since)
        return super().list_commits(since=since)


def tree_of(work_tree: WorkTree) -> tuple[SourceTree, Starts]:
    history = RecordedHistory(work_tree.dot_git)
    tree = load_tree(work_tree.path, history=history)
    entries = tuple(entry for entry in tree.entries if not entry.path.startswith(".git/"))
    return replace(tree, entries=entries), history.starts


def resumed(work_tree: WorkTree, *states: bytes) -> tuple[Starts, bytes | None]:
    """Collect from stored states, and check the result against a full read. Returns the starts and the new state."""
    tree, starts = tree_of(work_tree)
    facts, state = COLLECTOR.collect_incremental(tree, states)
    assert facts == COLLECTOR.collect_tree(tree_of(work_tree)[0])
    return starts, state


def state_of(work_tree: WorkTree) -> bytes:
    starts, state = resumed(work_tree)
    assert starts == [None]
    assert state is not None
    return state


def test_only_new_commits_are_read(work_tree: WorkTree) -> None:
    state, head = state_of(work_tree), work_tree.head()
    assert resumed(work_tree, state) == ([], None)  # nothing new, so no new state
    work_tree.commit(a_py="other\n", new_py="1\n2\n")
    starts, further = resumed(work_tree, state)
    assert starts == [head]
    assert resumed(work_tree, state, further or b"") == ([], None)


def test_nearest_stored_ancestor_is_used(work_tree: WorkTree) -> None:
    old = state_of(work_tree)
    middle = work_tree.commit(a_py="2\n")
    new = state_of(work_tree)
    work_tree.commit(a_py="3\n")
    for states in ([old, new], [new, old]):
        assert resumed(work_tree, *states)[0] == [middle]


def test_reverted_side_branch_is_counted(work_tree: WorkTree) -> None:
    state, head = state_of(work_tree), work_tree.head()
    work_tree.git("checkout", "-q", "-b", "side", "HEAD~1")
    work_tree.commit(side_py="1\n2\n3\n")
    work_tree.git("rm", "-q", "side.py")
    work_tree.commit()
    work_tree.git("checkout", "-q", "main")
    work_tree.commit(a_py="rewritten\n")
    work_tree.merge("side")
    assert resumed(work_tree, state)[0] == [head]


def test_deleted_file_that_comes_back_keeps_its_earlier_lines(work_tree: WorkTree) -> None:
    work_tree.commit(gone_py="1\n2\n")
    work_tree.git("rm", "-q", "gone.py")
    work_tree.commit()
    state, head = state_of(work_tree), work_tree.head()
    work_tree.commit(gone_py="1\n")
    assert resumed(work_tree, state)[0] == [head]


def test_rewritten_history_is_read_completely(work_tree: WorkTree) -> None:
    work_tree.commit(a_py="2\n")
    state = state_of(work_tree)
    work_tree.git("reset", "-q", "--hard", "HEAD~1")
    assert resumed(work_tree, state)[0] == [None]
    work_tree.commit(a_py="3\n")
    assert resumed(work_tree, state)[0] == [None]


def test_state_of_another_repository_is_ignored(work_tree: WorkTree, tmp_path: Path) -> None:
    other = WorkTree(tmp_path / "other")
    other.commit(x_py="1\n")
    assert resumed(other, state_of(work_tree))[0] == [None]


def test_shallow_history_is_neither_resumed_nor_stored(work_tree: WorkTree, tmp_path: Path) -> None:
    state = state_of(work_tree)
    work_tree.commit(a_py="2\n")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{work_tree.path}", str(clone))
    shallow = WorkTree.__new__(WorkTree)
    shallow.path = clone
    assert resumed(shallow, state) == ([None], None)


def test_state_with_another_path_mapping_is_ignored(work_tree: WorkTree) -> None:
    state = state_of(work_tree)
    PathMapping(tree_directory=b"project").save(work_tree.dot_git)
    assert resumed(work_tree, state)[0] == [None]


def test_state_over_the_limit_is_not_stored(work_tree: WorkTree, monkeypatch: pytest.MonkeyPatch) -> None:
    work_tree.commit(gone_py="1\n2\n", lost_py="1\n")
    work_tree.git("rm", "-q", "gone.py", "lost.py")
    work_tree.commit()
    full = COLLECTOR.collect_tree(tree_of(work_tree)[0])
    monkeypatch.setattr(commit_tally, "PATHS_LIMIT", 1)
    tree, _ = tree_of(work_tree)
    assert COLLECTOR.collect_incremental(tree, ()) == ({**full, "history": TOO_LONG}, None)


def test_history_too_large_for_the_cache_is_analysed_and_says_so(
    work_tree: WorkTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = COLLECTOR.collect_tree(tree_of(work_tree)[0])
    assert full["history"]["remembered"] is True
    monkeypatch.setattr(packed_tally, "TALLY_BYTES_LIMIT", 100)
    assert COLLECTOR.collect_incremental(tree_of(work_tree)[0], ()) == (
        {**full, "history": {**full["history"], "remembered": False}},
        None,
    )


def test_history_of_too_many_changes_has_churn_alone(work_tree: WorkTree, monkeypatch: pytest.MonkeyPatch) -> None:
    full = COLLECTOR.collect_tree(tree_of(work_tree)[0])
    monkeypatch.setattr(commit_tally, "CHANGES_LIMIT", 2)
    assert COLLECTOR.collect_incremental(tree_of(work_tree)[0], ()) == ({**full, "history": TOO_LONG}, None)


def test_cached_state_holds_no_address(work_tree: WorkTree) -> None:
    work_tree.write("b.py", "1\n")
    work_tree.git("add", "-A")
    work_tree.git(
        "commit", "-q", "-m", "b", GIT_AUTHOR_NAME="secret.person@example.org", GIT_AUTHOR_EMAIL="S@Example.ORG"
    )
    state = zlib.decompress(state_of(work_tree))
    assert b"secret.person" in state  # the name, which was an address
    for address in (b"example.org", b"a@example", b"s@example"):
        assert address not in state.lower()


def forged(change: Callable[[list[Any]], None]) -> Callable[[bytes], bytes]:
    def forge(state: bytes) -> bytes:
        entry = msgpack.unpackb(zlib.decompress(state))
        change(entry)
        return zlib.compress(msgpack.packb(entry, unicode_errors="surrogatepass"))

    return forge


def forged_column(number: int, data: bytes) -> Callable[[bytes], bytes]:
    return forged(lambda entry: entry[11].__setitem__(number, data))


@pytest.mark.parametrize(
    "forge",
    [
        lambda _: b"",
        lambda state: b"\xc1" + state,
        lambda state: state[:-1],
        lambda _: msgpack.packb("text"),
        forged(lambda entry: entry.__setitem__(0, 0)),
        forged(lambda entry: entry.__setitem__(1, "0.1")),
        lambda state: zlib.compress(zlib.decompress(state) + b"x"),
        lambda _: zlib.compress(bytes(100 << 20)),
        forged(lambda entry: entry.__setitem__(3, "--output=/tmp/x")),
        forged(lambda entry: entry.__setitem__(3, "HEAD")),
        forged(lambda entry: entry.__setitem__(3, "0" * 40)),
        forged(lambda entry: entry.__setitem__(3, 7)),
        forged(lambda entry: entry.__setitem__(3, "\ud800" * 40)),
        forged(lambda entry: entry.__setitem__(4, -1)),
        forged(lambda entry: entry.__setitem__(4, 1 << 60)),
        forged(lambda entry: entry.__setitem__(5, "--output=/tmp/x")),
        forged(lambda entry: entry.__setitem__(5, "0" * 40)),
        forged(lambda entry: entry.__setitem__(5, None)),
        forged(lambda entry: entry.__setitem__(6, -1)),
        forged(lambda entry: entry.__setitem__(6, True)),
        forged(lambda entry: entry.__setitem__(7, "1")),
        forged(lambda entry: entry.__setitem__(8, {})),
        forged(lambda entry: entry.__setitem__(8, [])),
        forged(lambda entry: entry[8].__setitem__(0, "a.txt")),
        forged(lambda entry: entry[8].__setitem__(0, "venv/a.py")),
        forged(lambda entry: entry[8].__setitem__(0, entry[8][1])),
        forged(lambda entry: entry[9].__setitem__(0, "1")),
        forged(lambda entry: entry[9].__setitem__(0, 1 << 53)),
        forged(lambda entry: entry[9].append(1)),
        forged(lambda entry: entry.__setitem__(10, [])),
        forged(lambda entry: entry[10][0].append(1)),
        forged(lambda entry: entry[10].__setitem__(0, ["key", "name"])),
        forged(lambda entry: entry[10].append(entry[10][0])),
        forged(lambda entry: entry.__setitem__(11, [])),
        forged(lambda entry: entry[11].append(b"")),
        forged_column(0, b"1234567"),
        forged_column(0, struct.pack("q", -1) * 2),
        forged_column(0, struct.pack("q", 1 << 41) * 2),
        forged_column(1, struct.pack("I", 9) * 2),
        forged_column(2, b"\xff\xff"),
        forged_column(3, b""),
        forged_column(4, struct.pack("H", 999) * 2),
        forged_column(5, struct.pack("I", 999) * 3),
        forged_column(6, b""),
        forged_column(7, struct.pack("q", 1)),
        forged_column(7, struct.pack("qqq", 1, 0, 99)),
        forged_column(7, struct.pack("qqq", 1, -1, 0)),
        forged_column(7, struct.pack("qqq", -1, 0, 0)),
        forged(lambda entry: entry[11].__setitem__(0, "text")),
        forged(lambda entry: entry.append(1)),
    ],
)
def test_forged_state_is_ignored(work_tree: WorkTree, forge: Callable[[bytes], bytes]) -> None:
    state = forge(state_of(work_tree))
    work_tree.commit(a_py="2\n")
    assert resumed(work_tree, state)[0] == [None]


KINDS = ("commit", "side", "merge", "drop", "delete", "move", "store")
STEPS = st.lists(st.sampled_from(KINDS), min_size=1, max_size=9)


def take(step: str, work: WorkTree, number: int) -> None:
    if step == "commit":
        work.commit(a_py=f"{number}\n" * (number + 1))
    elif step == "side":
        work.git("checkout", "-q", "-B", "side", "HEAD~0")
        work.commit(**{f"side{number}_py": "1\n2\n"})
        work.git("checkout", "-q", "main")
    elif step == "merge" and work.git("branch", "--list", "side"):
        work.merge("side", "-X", "ours")
    elif step == "drop" and int(work.git("rev-list", "--count", "--first-parent", "HEAD")) > 1:
        work.git("reset", "-q", "--hard", "HEAD~1")
    elif step == "delete":
        work.git("rm", "-q", "--ignore-unmatch", "b.py")
        work.commit()
    elif step == "move":
        work.git("mv", "-k", "a.py", f"a{number}.py")
        work.commit()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_resumed_counts_equal_full_counts_for_any_history(
    steps: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    work = WorkTree(tmp_path_factory.mktemp("work") / "tree")
    work.commit(a_py="0\n", b_py="0\n")
    states: list[bytes] = []
    for number, step in enumerate(steps):
        take(step, work, number)
        _, state = resumed(work, *states)
        if step == "store" and state is not None:
            states = [state, *states[:1]]
