"""The newest version on a page: the order of versions, and yanked files."""

import json

from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from infrastructure.outbound.package_page import highest_stable_version


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
