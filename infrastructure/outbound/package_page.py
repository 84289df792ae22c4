"""The newest version on a project's page of a PEP 691 simple index. The page is hostile input.

`pypi-simple` reads the names of files.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from infrastructure.json_codec import loads_untrusted
from infrastructure.outbound.pypi_simple_parts import file_name_parser

MAX_FILES = 100_000
"""Files that one page may list; the largest projects have about ten thousand."""

MAX_PAGE_VALUES = 1_000_000
"""JSON values of one page. A file has about twenty in 600 bytes, so every page of the largest size is read."""

_MAX_NAME_LENGTH = 250
_FILE_NAME = re.compile(r"(?:[A-Za-z0-9_.!+]*-){1,20}[A-Za-z0-9_.!+]*")
"""Names that are short enough, and have few enough hyphens, for the library's expressions, which backtrack."""


def highest_stable_version(name: str, page: bytes) -> str | None:
    """Find the highest version of `name` on a PEP 691 page that is neither a pre-release nor yanked.

    `name` is normalized. A version is yanked if all its files are. Raises ValueError, LookupError or TypeError if the
    page is malformed.
    """
    document = loads_untrusted(page, MAX_PAGE_VALUES)
    files, meta = document["files"], document["meta"]
    if not str(meta["api-version"]).startswith("1.") or len(files) > MAX_FILES:
        raise ValueError("unsupported API version, or too many files")
    texts = dict.fromkeys(_offered_versions(name, files))
    stable = [version for version in _parse(texts) if not version.is_prerelease]
    return str(max(stable)) if stable else None


def _offered_versions(name: str, files: Iterable[Any]) -> Iterator[str]:
    """Yield the version in the name of each file that is not yanked, as it is spelled there."""
    for file in files:
        file_name = file.get("filename") if isinstance(file, dict) else None
        if isinstance(file_name, str) and not _is_yanked(file):
            version = _version_in(file_name, name)
            if version:
                yield version


def _is_yanked(file: Mapping[str, Any]) -> bool:
    """Whether the file is yanked; a reason may be empty."""
    yanked = file.get("yanked", False)
    return isinstance(yanked, str) or bool(yanked)


def _version_in(file_name: str, project: str) -> str | None:
    """Return the version in the name of a distribution file; None if it is not one of the project's."""
    if len(file_name) > _MAX_NAME_LENGTH or not _FILE_NAME.fullmatch(file_name):
        return None
    parse_filename, unparsable = file_name_parser()
    try:
        found, version, _ = parse_filename(file_name, project)
    except unparsable:
        return None
    return version if canonicalize_name(found) == project else None


def _parse(texts: Iterable[str]) -> Iterator[Version]:
    for text in texts:
        try:
            yield Version(text)
        except InvalidVersion:
            continue
