"""Parser for the lines of pip's requirements format, and of the lists of requirements in other files."""

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename

from domain.metrics.manifest_files import include_of_line

LINE_LIMIT = 4_000
_LIKE_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*) ?(\[[^\]]*\])? ?((<|>|==|!=|~=|;|@|\().*)?")
_COMMENT = re.compile(r"(^|\s)#.*")
_OPTIONS = re.compile(r"\s--?[A-Za-z].*")
_EDITABLE = re.compile(r"(-e|--editable)[\s=]+")
_INDEX = re.compile(r"(?:-[if][\s=]*+|--(?:index-url|extra-index-url|find-links)[\s=]++)(\S++)|--no-index")
_EGG = re.compile(r"[#&]egg=([A-Za-z0-9._-]+)")
_PATH_END = re.compile(r"[?#;\s]")
_REPOSITORY_ARCHIVE = re.compile(r"[^/\s]++//[^/\s]++/[^/\s]++/([^/\s]++)/(?:archive|tarball|zipball)/")
_ELSEWHERE = re.compile(r"[^/\\\s:]*+://|\.\.[/\\]|[/\\~]")
"""The beginning of a URL, and of a path that may lead out of the tree."""

_PROJECT_NAME = re.compile(r"([A-Za-z0-9][\w.-]*?)(\.git)?([@\[].*)?", re.ASCII)
_OTHER_ARCHIVES = (".tar.bz2", ".tar.xz", ".tgz", ".tbz", ".txz", ".tar")
_FILE_SUFFIXES = (".whl", ".tar.gz", ".zip", *_OTHER_ARCHIVES)


class DeclaredDependency(NamedTuple):
    """A dependency as spelled in the file, and the only version that it allows; None where it allows several.

    `indexed` is False for one that comes from a path, a repository or a URL: its name may be internal, and no package
    index is asked for it.
    """

    name: str
    version: str | None
    indexed: bool = True


class Include(NamedTuple):
    """Another file of requirements, as spelled. `constraint`: it only limits the versions of what others declare."""

    target: str
    constraint: bool = False


class OwnProject(NamedTuple):
    """A project that is in the tree: its name, and the folders that its packages are in, relative to the manifest."""

    name: str | None
    roots: tuple[str, ...] = ()


class PackageIndexUrl(NamedTuple):
    """An index, or a place with distributions, that the project's packages may come from; as spelled."""

    url: str


class Unread(NamedTuple):
    """Something that declares dependencies and cannot be read, with the reason."""

    reason: str


Entry = DeclaredDependency | Include | OwnProject | PackageIndexUrl | Unread


def parse_requirement(text: str) -> DeclaredDependency | None:
    """Parse one PEP 508 requirement, or a valid name with a specifier that only older tools accept; None for others."""
    text = " ".join(text.split())
    match = _LIKE_REQUIREMENT.fullmatch(text) if len(text) <= LINE_LIMIT else None
    if match is None:
        return None
    try:
        parsed = Requirement(text)
    except (InvalidRequirement, ValueError, RecursionError):
        return DeclaredDependency(match[1], None, indexed=match[4] != "@")
    exact = [item.version for item in parsed.specifier if item.operator in ("==", "===") and "*" not in item.version]
    return DeclaredDependency(parsed.name, exact[0] if exact else None, indexed=parsed.url is None)


def parse_requirements(text: str) -> Iterator[Entry]:
    """Parse pip's requirements format. See `_parse_location` for a path or URL without a name."""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        found = parse_line(line)
        if found is not None:
            yield found


def parse_line(line: str) -> Entry | None:
    """Parse one logical line; None where it declares nothing."""
    wanted = line.strip().partition(" --hash")[0]
    if not wanted or wanted[0] == "#" or len(wanted) > LINE_LIMIT:
        return None
    index = _INDEX.match(wanted)
    if index is not None:
        return PackageIndexUrl(index[1] or "")
    target = include_of_line(wanted)
    if target is not None:
        return Include(target, constraint=wanted.startswith(("-c", "--c")))
    editable = _EDITABLE.match(wanted)
    if (
        editable
        or wanted[0] in "./\\~"
        or "://" in wanted.partition("@")[0]
        or _file_name(wanted).endswith(_FILE_SUFFIXES)
    ):
        return _parse_location(wanted[editable.end() if editable else 0 :])
    return parse_requirement(_OPTIONS.sub("", _COMMENT.sub("", wanted)))


def _parse_location(location: str) -> DeclaredDependency | None:
    """Parse a path or URL: `#egg=NAME`, or the file name of a wheel or source distribution.

    Else a repository, or a folder outside the tree, is taken to have the name of its distribution, so that no index is
    asked for it.
    """
    egg = _EGG.search(location)
    if egg:
        return DeclaredDependency(egg[1], None, indexed=False)
    file = unquote(_file_name(location))
    if not file.endswith(_FILE_SUFFIXES):
        folder = _PATH_END.split(location, maxsplit=1)[0].rstrip("/\\")
        name = _PROJECT_NAME.fullmatch(unquote(_file_name(folder))) if _ELSEWHERE.match(location) else None
        return DeclaredDependency(name[1], None, indexed=False) if name else None
    for suffix in _OTHER_ARCHIVES:
        if file.endswith(suffix):
            file = file.removesuffix(suffix) + ".tar.gz"
    try:
        parsed = parse_wheel_filename(file) if file.endswith(".whl") else parse_sdist_filename(file)
    except (InvalidWheelFilename, InvalidSdistFilename, ValueError):
        repository = _REPOSITORY_ARCHIVE.match(location)
        return DeclaredDependency(repository[1], None, indexed=False) if repository else None
    return DeclaredDependency(parsed[0], str(parsed[1]), indexed=False)


def _file_name(location: str) -> str:
    """Return the last part of the path, without a query, a fragment or a marker."""
    return _PATH_END.split(location, maxsplit=1)[0].replace("\\", "/").rpartition("/")[2]
