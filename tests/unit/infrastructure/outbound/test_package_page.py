"""The newest version on a page: the order of versions, and yanked files."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from infrastructure.outbound.package_page import MAX_PAGE_VALUES, highest_stable_version

MIB = 1024 * 1024
SIZE = 20 * MIB
BOMBS = {
    "objects": b'{"files":[' + b"{}," * (SIZE // 3) + b"{}]}",
    "lists": b"[" + b"[]," * (SIZE // 3) + b"[]]",
    "nested lists": b"[" + b"[[[[]]]]," * (SIZE // 9) + b"[]]",
    "numbers": b"[" + b"0.5," * (SIZE // 4) + b"1]",
    "texts": b"[" + b'"ab",' * (SIZE // 5) + b'""]',
    "keys": b"{" + b",".join(b'"%x":0.5' % number for number in range(SIZE // 14)) + b"}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_page_of_very_many_values_is_refused_before_they_are_built(name: str) -> None:
    tracemalloc.start()
    with pytest.raises(ValueError, match="more than"):
        highest_stable_version("foo", BOMBS[name])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MIB


def test_page_of_a_project_with_very_many_files_is_read() -> None:
    entry = {
        "filename": "foo-1.0-py3-none-any.whl", "hashes": {"sha256": "0" * 64}, "requires-python": ">=3.8,<4,!=3.9",
        "size": 1_000_000, "upload-time": "2024-01-01T00:00:00.000000Z", "url": "https://files.example.org/" + "0" * 80,
        "yanked": False, "core-metadata": {"sha256": "0" * 64}, "data-dist-info-metadata": {"sha256": "0" * 64},
        "provenance": None,
    }  # fmt: skip
    page = json.dumps({"meta": {"api-version": "1.1"}, "files": [entry] * 20_000}).encode()
    assert highest_stable_version("foo", page) == "1.0"
    assert len(page) * MAX_PAGE_VALUES > SIZE * 20 * 20_000, "every real page of the largest size is read"


@given(st.lists(st.from_regex(r"[0-3](\.[0-3]){0,3}(rc1|\.post1|\+x)?", fullmatch=True), max_size=8))
def test_highest_version_is_that_of_the_version_order(texts: list[str]) -> None:
    files = [{"filename": f"foo-{text}.tar.gz", "yanked": False} for text in texts]
    page = json.dumps({"meta": {"api-version": "1.1"}, "files": files}).encode()
    stable = [Version(text) for text in texts if not Version(text).is_prerelease]
    found = highest_stable_version("foo", page)
    assert (found is None) == (not stable)
    assert found is None or Version(found) == max(stable)


def test_version_of_which_one_file_is_not_yanked_counts() -> None:
    files = [
        {"filename": "foo-2.0.tar.gz", "yanked": "broken"},
        {"filename": "foo-2.0-py3-none-any.whl", "yanked": False},
        {"filename": "foo-3.0.tar.gz", "yanked": ""},
        {"filename": "foo-4.0.tar.gz", "yanked": True},
    ]
    assert highest_stable_version("foo", json.dumps({"meta": {"api-version": "1.0"}, "files": files}).encode()) == "2.0"
