"""What a worker remembers of a source, and what it lets a child say."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.sources.tree.limits import SourceLimits
from worker.analysis.facts_wire_format import HISTORY_KEY, LATEST_HISTORY_KEY, pack, unpack
from worker.analysis.source_facts import SourceFacts

MINE = ("user", "upload", "a.zip")
OTHERS = [("other", "upload", "a.zip"), ("user", "github", "a.zip"), ("user", "upload", "b.zip")]


class Shelf:
    """A cache that forgets nothing."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}

    async def get(self, digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        return {digest: self.entries[digest] for digest in digests if digest in self.entries}

    async def put(self, entries: Mapping[bytes, bytes]) -> None:
        self.entries |= entries


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(f"name = {name!r}\n")
    return tmp_path


@given(st.dictionaries(st.binary(max_size=9), st.binary(max_size=99), max_size=9))
def test_attachments_come_back(entries: dict[bytes, bytes]) -> None:
    assert unpack(pack(entries)) == entries


@given(st.binary(max_size=99))
def test_nothing_but_attachments_is_taken(data: bytes) -> None:
    try:
        entries = unpack(data)
    except ValueError:
        return
    assert unpack(pack(entries)) == entries


@pytest.mark.parametrize(
    "data", [b"\xc4\x01a", b"\xc0\xc0", b"\x90\x90", b"\x80" * 4, b"\xa1a\xa1b", b"\xdd\xff\xff\xff\xff"]
)
def test_other_kinds_of_data_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not an attachment"):
        unpack(data)


async def test_what_was_learned_is_known_next_time(tree: Path) -> None:
    facts = SourceFacts(Shelf(), SourceLimits(), b"code")
    first = await facts.get(MINE, tree)
    assert unpack(first.attachment) == {}
    await facts.put(first, pack({b"a.py": b"of a", b"a.py/": b"of a's place", b"b.py": b"of b"}))
    (tree / "b.py").write_text("changed = True\n")
    second = await facts.get(MINE, tree)
    assert unpack(second.attachment) == {b"a.py": b"of a", b"a.py/": b"of a's place"}


@pytest.mark.parametrize("other", OTHERS)
async def test_nobody_else_is_told(tree: Path, other: Sequence[str]) -> None:
    facts = SourceFacts(Shelf(), SourceLimits(), b"code")
    await facts.put(await facts.get(MINE, tree), pack({b"a.py": b"of a"}))
    assert unpack((await facts.get(other, tree)).attachment) == {}


async def test_other_code_starts_anew(tree: Path) -> None:
    shelf = Shelf()
    old = SourceFacts(shelf, SourceLimits(), b"old")
    await old.put(await old.get(MINE, tree), pack({b"a.py": b"of a"}))
    assert unpack((await SourceFacts(shelf, SourceLimits(), b"new").get(MINE, tree)).attachment) == {}


async def test_a_child_speaks_for_files_of_its_tree_that_were_not_known(tree: Path) -> None:
    shelf = Shelf()
    facts = SourceFacts(shelf, SourceLimits(), b"code")
    await facts.put(await facts.get(MINE, tree), pack({b"a.py": b"honest"}))
    before = dict(shelf.entries)
    again = await facts.get(MINE, tree)
    (digest_of_b,) = [digest for name, digest in again.missing.items() if name == b"b.py"]
    lies = {b"a.py": b"lie", b"../a.py": b"lie", b"": b"lie", digest_of_b: b"lie"}
    await facts.put(again, pack({**lies, b"b.py": b"own"}))
    assert shelf.entries == {**before, digest_of_b: b"own"}


@pytest.mark.parametrize("learned", [b"\xff\xff", b"\x81\xc4\x01a\xc4\x01b", b"\xc4\x04a.py"])
async def test_a_child_that_talks_nonsense_is_not_listened_to(tree: Path, learned: bytes) -> None:
    shelf = Shelf()
    facts = SourceFacts(shelf, SourceLimits(), b"code")
    await facts.put(await facts.get(MINE, tree), learned)
    assert shelf.entries == {}


async def test_commits_are_remembered_by_branch_and_for_any_branch(tree: Path) -> None:
    facts = SourceFacts(Shelf(), SourceLimits(), b"code")
    await facts.put(await facts.get(MINE, tree, "main"), pack({HISTORY_KEY: b"of main"}))
    assert unpack((await facts.get(MINE, tree, "side")).attachment) == {LATEST_HISTORY_KEY: b"of main"}
    await facts.put(await facts.get(MINE, tree, "side"), pack({HISTORY_KEY: b"of side"}))
    known = unpack((await facts.get(MINE, tree, "main")).attachment)
    assert known == {HISTORY_KEY: b"of main", LATEST_HISTORY_KEY: b"of side"}
    for other in OTHERS:
        assert unpack((await facts.get(other, tree, "main")).attachment) == {}
