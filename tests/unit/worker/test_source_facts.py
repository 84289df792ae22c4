"""The cache of facts: what is stored for whom, and what a child can add to it."""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.sources.tree.limits import SourceLimits
from worker.analysis.facts.source_facts import SourceFacts
from worker.analysis.facts.wire_format import HISTORY_KEY, LATEST_HISTORY_KEY, pack, unpack

SCOPE = ("user", "upload", "a.zip")
OTHER_SCOPES = [("other", "upload", "a.zip"), ("user", "github", "a.zip"), ("user", "upload", "b.zip")]
ENTRIES = st.dictionaries(st.binary(max_size=9), st.binary(max_size=99), max_size=9)


class DictCache:
    """A cache that keeps everything."""

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


def numbers(*values: int) -> bytes:
    return array("I", values).tobytes()


@given(ENTRIES)
def test_attachment_is_decoded_to_its_entries(entries: dict[bytes, bytes]) -> None:
    assert unpack(pack(entries)) == entries


@st.composite
def damaged_attachments(draw: st.DrawFn) -> bytes:
    """Attachments with one byte replaced."""
    data = bytearray(pack(draw(ENTRIES.filter(bool))))
    data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


def test_damaged_attachment_is_refused_or_decoded_to_byte_strings() -> None:
    outcomes: Counter[str] = Counter()

    @given(st.one_of(st.binary(max_size=99), damaged_attachments()))
    def check(data: bytes) -> None:
        try:
            entries = unpack(data)
        except ValueError:
            outcomes["refused"] += 1
        else:
            assert unpack(pack(entries)) == entries
            outcomes["decoded"] += 1

    check()
    assert set(outcomes) == {"refused", "decoded"}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(numbers(0)[:3], id="half a number"),
        pytest.param(numbers(2, 1, 1) + b"a", id="a part is missing"),
        pytest.param(numbers(2, 1, 1) + b"abc", id="more than the parts"),
        pytest.param(numbers(1, 1) + b"a", id="a name without an entry"),
        pytest.param(numbers(2, 1), id="a length is missing"),
        pytest.param(numbers(0xFFFFFFFE), id="more parts than bytes"),
    ],
)
def test_other_data_is_no_attachment(data: bytes) -> None:
    with pytest.raises(ValueError, match="not an attachment"):
        unpack(data)


async def test_facts_of_unchanged_files_are_found_again(tree: Path) -> None:
    facts = SourceFacts(DictCache(), SourceLimits(), b"code")
    first = await facts.get(SCOPE, tree)
    assert unpack(first.attachment) == {}
    await facts.put(first, pack({b"a.py": b"of a", b"a.py/": b"of a's place", b"b.py": b"of b"}))
    (tree / "b.py").write_text("changed = True\n")
    second = await facts.get(SCOPE, tree)
    assert unpack(second.attachment) == {b"a.py": b"of a", b"a.py/": b"of a's place"}


@pytest.mark.parametrize("other", OTHER_SCOPES)
async def test_facts_are_not_shared_with_other_scopes(tree: Path, other: Sequence[str]) -> None:
    facts = SourceFacts(DictCache(), SourceLimits(), b"code")
    await facts.put(await facts.get(SCOPE, tree), pack({b"a.py": b"of a"}))
    assert unpack((await facts.get(other, tree)).attachment) == {}


async def test_facts_of_other_code_are_not_found(tree: Path) -> None:
    cache = DictCache()
    old = SourceFacts(cache, SourceLimits(), b"old")
    await old.put(await old.get(SCOPE, tree), pack({b"a.py": b"of a"}))
    assert unpack((await SourceFacts(cache, SourceLimits(), b"new").get(SCOPE, tree)).attachment) == {}


async def test_child_can_add_facts_only_of_unknown_files_of_its_tree(tree: Path) -> None:
    cache = DictCache()
    facts = SourceFacts(cache, SourceLimits(), b"code")
    await facts.put(await facts.get(SCOPE, tree), pack({b"a.py": b"honest"}))
    before = dict(cache.entries)
    again = await facts.get(SCOPE, tree)
    (digest_of_b,) = [digest for name, digest in again.missing.items() if name == b"b.py"]
    lies = {b"a.py": b"lie", b"../a.py": b"lie", b"": b"lie", digest_of_b: b"lie"}
    await facts.put(again, pack({**lies, b"b.py": b"own"}))
    assert cache.entries == {**before, digest_of_b: b"own"}


@pytest.mark.parametrize("attachment", [b"\xff\xff", b"\x81\xc4\x01a\xc4\x01b", b"\xc4\x04a.py"])
async def test_invalid_attachment_stores_nothing(tree: Path, attachment: bytes) -> None:
    cache = DictCache()
    facts = SourceFacts(cache, SourceLimits(), b"code")
    await facts.put(await facts.get(SCOPE, tree), attachment)
    assert cache.entries == {}


async def test_history_facts_are_stored_by_branch_and_for_the_latest_branch(tree: Path) -> None:
    facts = SourceFacts(DictCache(), SourceLimits(), b"code")
    await facts.put(await facts.get(SCOPE, tree, "main"), pack({HISTORY_KEY: b"of main"}))
    assert unpack((await facts.get(SCOPE, tree, "side")).attachment) == {LATEST_HISTORY_KEY: b"of main"}
    await facts.put(await facts.get(SCOPE, tree, "side"), pack({HISTORY_KEY: b"of side"}))
    known = unpack((await facts.get(SCOPE, tree, "main")).attachment)
    assert known == {HISTORY_KEY: b"of main", LATEST_HISTORY_KEY: b"of side"}
    for other in OTHER_SCOPES:
        assert unpack((await facts.get(other, tree, "main")).attachment) == {}
