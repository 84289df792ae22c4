"""Mutated and generated zip archives: each is unpacked inside its directory or refused with a clear error."""

import base64
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInputError
from domain.sources import FetchedSource
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import SourceLimits
from infrastructure.sources.uploads.upload import fetch_upload
from tests.fixtures.archives import BZIP2, DEFLATED, FILE, LZMA, STORED, SYMLINK, ZipMember, build_zip, make_zip
from tests.fixtures.git_repository import WorkTree
from tests.fuzz.generators import count_outcome, fuzz_settings, mutate, naughty_strings, odd_sources, real_archives
from tests.fuzz.jail import assert_clear_message, assert_no_process_left, assert_plain_files, jailed
from tests.hostile.support.naughty_strings import assert_harmless

LIMITS = SourceLimits(
    max_zip_ratio=10,
    max_upload_bytes=300_000,
    max_zip_entries=200,
    max_inflated_bytes=1 << 20,
    max_tree_files=100,
    max_file_bytes=1 << 16,
)


def fetch(filename: str, data: bytes, surface: str) -> bool:
    """Unpack the upload and check whatever was written. Returns whether the upload was accepted."""
    with tempfile.TemporaryDirectory() as directory:
        layout = SourceLayout(Path(directory) / "scratch")
        layout.root.mkdir()
        refused, source = "", None
        with jailed(layout.root):
            try:
                source = fetch_upload(filename, base64.b64encode(data).decode(), layout, LIMITS)
            except InvalidInputError as error:
                refused = str(error)
        assert [path.name for path in Path(directory).iterdir()] == ["scratch"]
        if layout.repository.exists():  # nothing else starts a process
            assert_no_process_left(layout.root)
        if source is None:
            assert_clear_message(refused)
        else:
            assert_valid_layout(layout, source)
        count_outcome(surface, "completed" if source else "refused")
    return source is not None


def assert_valid_layout(layout: SourceLayout, source: FetchedSource) -> None:
    assert {path.name for path in layout.root.iterdir()} <= {"tree", "manifests", "repo.git"}
    files = assert_plain_files(layout.tree, LIMITS.max_inflated_bytes)
    assert 0 < files <= LIMITS.max_tree_files
    assert_plain_files(layout.manifests, LIMITS.max_inflated_bytes)
    assert_harmless([[item.path, item.reason] for item in source.skipped])


def archive_with_history() -> bytes:
    """Pack a small project, including its `.git`."""
    with tempfile.TemporaryDirectory() as directory:
        tree = WorkTree(Path(directory) / "tree")
        tree.commit(a_py="x = 1\n")
        tree.commit(b_py="y = 2\n")
        return make_zip(
            {str(path.relative_to(tree.path)): path.read_bytes() for path in tree.path.rglob("*") if path.is_file()}
        )


def seeds() -> list[bytes]:
    odd = {f"p/{name}": content for name, content in odd_sources().items()}
    false_claims = build_zip(
        ZipMember(b"a.py"), ZipMember(b"b.py", size=99), ZipMember(b"c.py", crc=1), ZipMember(b"../d.py"), count=7
    )
    return [
        make_zip(odd),
        make_zip({"a.py": "x = 1\n"}),
        archive_with_history(),
        false_claims,
        build_zip(ZipMember(b"a.py"), zip64=1),
        *real_archives(),
    ]


SEEDS = seeds()


def test_unchanged_archives_are_accepted() -> None:
    assert [fetch("upload.zip", data, "archives unchanged") for data in SEEDS[:3]] == [True] * 3


@fuzz_settings(250)
@given(index=st.integers(0, len(SEEDS) - 1), seed=st.integers(0, 2**32))
def test_mutated_archives(index: int, seed: int) -> None:
    fetch("upload.zip", mutate(SEEDS[index], seed, SEEDS), "archives mutated")


NAMES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([text.encode("utf-8", "surrogatepass") for text in naughty_strings()]),
    st.sampled_from(
        [b"a.py", b"A.py", b"a.py/", b"a.py/b.py", b"d/", b"d/a.py", b"d", b".git/HEAD", b".git/config", b".git"]
    ),
    st.lists(
        st.sampled_from([b"..", b".", b"", b"a", b"a.py", b".git", b"venv", b"C:", b"\\", b"\xff"]), max_size=70
    ).map(b"/".join),
)


def rarely(claim: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Make false claims rare: an archive with a single one passes more checks."""
    return st.integers(0, 19).flatmap(lambda number: claim if number == 19 else st.none())


MEMBERS = st.builds(
    ZipMember,
    name=st.one_of(NAMES, NAMES.map(lambda name: name + b".py")),
    data=st.binary(max_size=200) | st.just(bytes(2_000)) | st.just(b"x = 1\n"),
    method=st.sampled_from([*[STORED, DEFLATED] * 5, BZIP2, LZMA, 99]),
    flags=st.sampled_from([*[0x800] * 10, 0, 1, 8, 0x40, 0x2000, 0xFFFF]),
    mode=st.sampled_from([*[FILE] * 10, SYMLINK, 0, 0o755, 0o40755, 0o10644, 0o60644, 0o104755, 0o177777]),
    size=rarely(st.integers(0, 2**32 - 1)),
    crc=rarely(st.integers(0, 2**32 - 1)),
    body=rarely(st.binary(max_size=50)),
    offset=rarely(st.integers(0, 2**32 - 1) | st.integers(0, 300)),
    bodyless=rarely(st.just(True)).map(bool),
)


@fuzz_settings(250)
@given(
    members=st.lists(MEMBERS, max_size=8),
    count=rarely(st.integers(0, 0xFFFF)),
    comment=st.just(b"") | st.binary(max_size=30),
    zip64=rarely(st.integers(0, 2**63)),
)
def test_generated_archives_with_false_claims(
    members: Sequence[ZipMember], count: int | None, comment: bytes, zip64: int | None
) -> None:
    fetch("upload.zip", build_zip(*members, count=count, comment=comment, zip64=zip64), "archives with false claims")


@fuzz_settings(200)
@given(
    members=st.lists(MEMBERS.filter(lambda member: not member.bodyless), min_size=1, max_size=30),
    seed=st.integers(0, 99),
)
def test_generated_archives_with_any_names(members: Sequence[ZipMember], seed: int) -> None:
    rng = random.Random(seed)
    for member in members:
        member.size = member.crc = member.body = member.offset = None
        member.method, member.flags = rng.choice((STORED, DEFLATED)), 0x800 * _is_utf8(member.name)
    fetch("upload.zip", build_zip(*members), "archives of any names")


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


@fuzz_settings(100)
@given(
    filename=st.text(st.characters(exclude_categories=()), max_size=300) | st.sampled_from(naughty_strings()),
    data=st.binary(max_size=60),
)
def test_any_file_name_of_an_upload(filename: str, data: bytes) -> None:
    for name in (filename, f"{filename}.py", f"{filename}.zip", f"{filename}.ZIP"):
        fetch(name, data, "uploads of any name")


@fuzz_settings(200)
@given(text=st.text(max_size=200) | st.binary(max_size=200).map(lambda data: base64.b64encode(data).decode()))
def test_any_base64_text(text: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        try:
            fetch_upload("a.py", text, SourceLayout(Path(directory)), LIMITS)
        except InvalidInputError:
            count_outcome("base64", "refused")
        else:
            assert base64.b64encode(base64.b64decode(text)).decode() == text
            count_outcome("base64", "completed")
