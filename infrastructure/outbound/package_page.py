"""The newest version on a project's page of a PEP 691 simple index.

The page is hostile input. The `pypi-simple` library finds the same versions (a test compares them), but importing it
and building its objects takes longer than the analysis of a small tree.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from infrastructure.json_codec import loads

MAX_FILES = 100_000
"""Files that one page may list; the largest projects have about ten thousand."""

_MAX_NAME_LENGTH = 250
_FILE_NAME = re.compile(r"(?:[A-Za-z0-9_.!+]*-){1,20}[A-Za-z0-9_.!+]*")
"""Names that are short enough, and have few enough hyphens, for expressions that backtrack."""

_WHEEL_PARTS = 5
"""Parts of a wheel's name between hyphens: project, version, an optional build number, and three tags."""

_PLATFORM = r"\.(?:aix|cygwin|darwin|linux|macosx|solaris|sunos|[wW]in)[-.A-Za-z0-9_]*"
_PYTHON = r"-py[0-9]+\.[0-9]+"
_ARCHIVE = r"\.(?:tar|tar\.(?:bz2|gz|lz|lzma|xz|Z)|tbz|tgz|tlz|txz|zip)"
_EGG = re.compile(rf"-([^-]+?)(?:{_PYTHON}(?:-{_PLATFORM[2:]})?)?\.egg")
_OTHER = re.compile(
    rf"-(?:(?P<rpm>[^-]+?)-[^-]+\.[A-Za-z0-9._]+\.rpm"
    rf"|(?P<other>.+?)(?:{_PLATFORM}(?:{_ARCHIVE}|(?:{_PYTHON})?\.(?:msi|exe))|{_ARCHIVE}))"
)
"""What follows the project's name, from the hyphen on. The shortest version is the right one: it has no platform."""

_RELEASE = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18}){0,9}")
"""A version of numbers only, as most are: it is no pre-release, and can be compared without the whole of PEP 440."""


def highest_stable_version(name: str, page: bytes) -> str | None:
    """Find the highest version of `name` on a PEP 691 page that is neither a pre-release nor yanked.

    `name` is normalized. A version is yanked if all its files are. Raises ValueError, LookupError or TypeError if the
    page is malformed.
    """
    document = loads(page)
    files, meta = document["files"], document["meta"]
    if not str(meta["api-version"]).startswith("1.") or len(files) > MAX_FILES:
        raise ValueError("unsupported API version, or too many files")
    texts = dict.fromkeys(_offered_versions(name, files))
    releases = [text for text in texts if _RELEASE.fullmatch(text)]
    others = [text for text in texts if not _RELEASE.fullmatch(text)]
    highest = [max(releases, key=_release_key)] if releases else []
    stable = [version for version in _parse([*highest, *others]) if not version.is_prerelease]
    return str(max(stable)) if stable else None


def _offered_versions(name: str, files: Iterable[Any]) -> Iterator[str]:
    """Yield the version in the name of each file that is not yanked, as it is spelled there."""
    prefixes: dict[str, bool] = {}

    def is_project(prefix: str) -> bool:
        known = prefixes.get(prefix)
        if known is None:
            known = prefixes[prefix] = canonicalize_name(prefix) == name
        return known

    for file in files:
        file_name = file.get("filename") if isinstance(file, dict) else None
        if isinstance(file_name, str) and not _is_yanked(file):
            version = version_in(file_name, is_project)
            if version:
                yield version


def _is_yanked(file: Mapping[str, Any]) -> bool:
    """Whether the file is yanked; a reason may be empty."""
    yanked = file.get("yanked", False)
    return isinstance(yanked, str) or bool(yanked)


def version_in(file_name: str, is_project: Callable[[str], bool]) -> str | None:
    """Return the version in the name of a distribution file; None if it is not one of the project's.

    `is_project` says whether a text is a spelling of the project's name.
    """
    if len(file_name) > _MAX_NAME_LENGTH or not _FILE_NAME.fullmatch(file_name):
        return None
    parts = file_name.split("-")
    if file_name.endswith((".whl", ".egg")):
        return _version_of_built(file_name, parts) if is_project(parts[0]) else None
    for count in range(1, len(parts)):
        prefix = "-".join(parts[:count])
        if is_project(prefix):
            found = _OTHER.fullmatch(file_name, len(prefix))
            return found and (found["rpm"] or found["other"])
    return None


def _version_of_built(file_name: str, parts: list[str]) -> str | None:
    """Return the version of a wheel or an egg. Neither has a hyphen in the name of the project or in the version."""
    if file_name.endswith(".whl"):
        return (parts[1] or None) if len(parts) >= _WHEEL_PARTS else None
    found = _EGG.fullmatch(file_name, len(parts[0]))
    return found and found[1]


def _release_key(text: str) -> list[int]:
    """Return a sort key for versions of numbers only: zeros at the end do not count."""
    numbers = [int(number) for number in text.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers


def _parse(texts: Iterable[str]) -> Iterator[Version]:
    for text in texts:
        try:
            yield Version(text)
        except InvalidVersion:
            continue
