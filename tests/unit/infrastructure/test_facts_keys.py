"""Digests of files cover everything that the cached facts depend on."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infrastructure.redis.facts_keys import TreeKeys, code_digest, derive_key, keyed_digest, tree_keys

KEY = derive_key(b"code", b"user", b"source")


def keys(tree: Path, key: bytes = KEY, *, max_files: int = 100, max_file_bytes: int = 1000) -> TreeKeys:
    return tree_keys(tree, key, max_files=max_files, max_file_bytes=max_file_bytes)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "pkg").mkdir()
    for name in ("a.py", "b.py", "pkg/a.py"):
        (tmp_path / name).write_text("x = 1\n")
    return tmp_path


def test_each_file_has_its_own_digests(tree: Path) -> None:
    found = keys(tree)
    assert set(found.contents) == set(found.in_tree) == {b"a.py", b"b.py", b"pkg/a.py"}
    assert len({*found.contents.values(), *found.in_tree.values()}) == 6
    assert keys(tree) == found


def test_changed_content_changes_the_digests_of_that_file_only(tree: Path) -> None:
    before = keys(tree)
    (tree / "a.py").write_text("x = 2\n")
    after = keys(tree)
    for digests, was in ((after.contents, before.contents), (after.in_tree, before.in_tree)):
        assert {name for name in digests if digests[name] != was[name]} == {b"a.py"}


def test_in_tree_digest_depends_on_all_names_and_modes(tree: Path) -> None:
    before = keys(tree)
    (tree / "pkg/__init__.py").write_text("")
    more = keys(tree)
    (tree / "b.py").chmod(0o755)
    executable = keys(tree)
    assert all(before.contents[name] == more.contents[name] == executable.contents[name] for name in before.contents)
    for name in before.in_tree:
        assert len({before.in_tree[name], more.in_tree[name], executable.in_tree[name]}) == 3


@pytest.mark.parametrize(
    "other", [(b"other", b"user", b"source"), (b"code", b"source", b"user"), (b"codeuser", b"source")]
)
def test_other_code_user_or_source_gives_other_digests(tree: Path, other: tuple[bytes, ...]) -> None:
    mine, theirs = keys(tree), keys(tree, derive_key(*other))
    assert {*mine.contents.values(), *mine.in_tree.values()}.isdisjoint(
        {*theirs.contents.values(), *theirs.in_tree.values()}
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_digest_depends_on_how_the_parts_are_split(one: list[bytes], other: list[bytes]) -> None:
    assert (keyed_digest(KEY, *one) == keyed_digest(KEY, *other)) == (one == other)
    assert (derive_key(*one) == derive_key(*other)) == (one == other)


def test_links_pipes_and_large_files_have_no_digest(tree: Path) -> None:
    (tree / "link.py").symlink_to("/etc/passwd")
    (tree / "linked").symlink_to("/etc", target_is_directory=True)
    os.mkfifo(tree / "pipe.py")
    (tree / "large.py").write_bytes(b"x" * 1001)
    assert set(keys(tree).contents) == {b"a.py", b"b.py", b"pkg/a.py"}
    assert len(keys(tree, max_files=2).contents) == 2


def test_name_that_is_not_utf8_has_a_digest(tree: Path) -> None:
    (tree / os.fsdecode(b"\xff.py")).write_text("")
    assert b"\xff.py" in keys(tree).contents


def test_code_digest_depends_on_installed_distributions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = code_digest()
    assert code_digest() == before
    (tmp_path / "radon-99.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert code_digest() != before
