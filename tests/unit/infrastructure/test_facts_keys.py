"""The digests of files: nothing that the facts depend on is left out."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infrastructure.redis.facts_keys import TreeKeys, fingerprint, keyed, secret, tree_keys

KEY = secret(b"code", b"user", b"source")


def keys(tree: Path, key: bytes = KEY, *, most_files: int = 100, most_bytes: int = 1000) -> TreeKeys:
    return tree_keys(tree, key, most_files=most_files, most_bytes=most_bytes)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "pkg").mkdir()
    for name in ("a.py", "b.py", "pkg/a.py"):
        (tmp_path / name).write_text("x = 1\n")
    return tmp_path


def test_one_digest_for_each_file_and_none_twice(tree: Path) -> None:
    found = keys(tree)
    assert set(found.contents) == set(found.places) == {b"a.py", b"b.py", b"pkg/a.py"}
    assert len({*found.contents.values(), *found.places.values()}) == 6
    assert keys(tree) == found


def test_a_change_of_bytes_changes_that_file_alone(tree: Path) -> None:
    before = keys(tree)
    (tree / "a.py").write_text("x = 2\n")
    after = keys(tree)
    for digests, was in ((after.contents, before.contents), (after.places, before.places)):
        assert {name for name in digests if digests[name] != was[name]} == {b"a.py"}


def test_the_place_tells_of_all_names_and_modes(tree: Path) -> None:
    before = keys(tree)
    (tree / "pkg/__init__.py").write_text("")
    more = keys(tree)
    (tree / "b.py").chmod(0o755)
    executable = keys(tree)
    assert all(before.contents[name] == more.contents[name] == executable.contents[name] for name in before.contents)
    for name in before.places:
        assert len({before.places[name], more.places[name], executable.places[name]}) == 3


@pytest.mark.parametrize(
    "other", [(b"other", b"user", b"source"), (b"code", b"source", b"user"), (b"codeuser", b"source")]
)
def test_nothing_is_shared_with_other_code_users_or_sources(tree: Path, other: tuple[bytes, ...]) -> None:
    mine, theirs = keys(tree), keys(tree, secret(*other))
    assert {*mine.contents.values(), *mine.places.values()}.isdisjoint(
        {*theirs.contents.values(), *theirs.places.values()}
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_parts_are_told_apart(one: list[bytes], other: list[bytes]) -> None:
    assert (keyed(KEY, *one) == keyed(KEY, *other)) == (one == other)
    assert (secret(*one) == secret(*other)) == (one == other)


def test_links_pipes_and_what_is_too_large_have_none(tree: Path) -> None:
    (tree / "link.py").symlink_to("/etc/passwd")
    (tree / "linked").symlink_to("/etc", target_is_directory=True)
    os.mkfifo(tree / "pipe.py")
    (tree / "large.py").write_bytes(b"x" * 1001)
    assert set(keys(tree).contents) == {b"a.py", b"b.py", b"pkg/a.py"}
    assert len(keys(tree, most_files=2).contents) == 2


def test_names_need_not_be_text(tree: Path) -> None:
    (tree / os.fsdecode(b"\xff.py")).write_text("")
    assert b"\xff.py" in keys(tree).contents


def test_the_fingerprint_is_of_all_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = fingerprint()
    assert fingerprint() == before
    (tmp_path / "radon-99.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert fingerprint() != before
