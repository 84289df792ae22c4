"""Versions in the names of distribution files, compared with the `pypi-simple` library."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from packaging.version import Version
from pypi_simple import UnparsableFilenameError, parse_filename

from infrastructure.outbound.package_page import highest_stable_version, version_in

PROJECTS = ("foo", "foo-bar", "foo-2", "zope-interface")
SPELLINGS = ("foo", "Foo", "foo_bar", "foo-bar", "foo.bar", "Foo--Bar", "foo-2", "foo_2", "zope.interface", "other")
VERSIONS = ("1.0", "2", "1.0.post1", "1.0rc1", "1.0-1", "1.0+local.1", "1!2.0", "0", "2004d", "1.0_b", "latest")
ENDINGS = (
    *("-py3-none-any.whl", "-1-cp311-cp311-manylinux_2_17_x86_64.whl", "-py2.py3-none-any.whl", "-none-any.whl"),
    *(".tar.gz", ".zip", ".tar", ".tgz", ".tar.bz2", ".exe", ".msi", ".whl", ".egg", ".rpm", ".asc", ""),
    *("-py2.7.egg", "-py2.7-linux-x86_64.egg", "-1.noarch.rpm", ".linux-x86_64.tar.gz", ".win32.zip"),
    *(".win32-py2.7.exe", ".win-amd64-py3.4.msi", ".macosx-10.9-x86_64.tar.gz", ".win32.exe", ".linux-x86_64.exe"),
)


def version_by_library(file_name: str, project: str) -> str | None:
    try:
        found, version, _ = parse_filename(file_name, project)
    except UnparsableFilenameError:
        return None
    return version if canonicalize_name(found) == project else None


@pytest.mark.parametrize("project", PROJECTS)
def test_version_is_the_one_that_the_library_finds(project: str) -> None:
    names = [f"{spelling}-{version}{ending}" for spelling in SPELLINGS for version in VERSIONS for ending in ENDINGS]
    found = {name: version_in(name, lambda text: canonicalize_name(text) == project) for name in names}
    assert found == {name: version_by_library(name, project) for name in names}
    assert len(set(found.values())) > 5


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
