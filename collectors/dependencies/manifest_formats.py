"""Parsers for the files that declare dependencies. They turn text into names and versions and execute nothing.

A parser raises ValueError (the base class of TOML's, JSON's and Unicode's errors) where the text is not in its format,
and skips single entries that it cannot read.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement

_LINE_LIMIT = 4_000
_SETTING = re.compile(r"([^=:]+)[=:](.*)")
_SETUP_KEYS = ("install_requires", "setup_requires", "tests_require")
_EXACT = re.compile(r"\s*={2,3}\s*([^\s*,;<>=!~^]+)\s*")
_POETRY_EXACT = re.compile(r"\s*={0,2}\s*v?(\d[^\s*,;<>=!~^|]*)\s*")
_LIKE_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*) ?(\[[^\]]*\])? ?((<|>|==|!=|~=|;|@|\().*)?")
_COMMENT = re.compile(r"(^|\s)#.*")
_OPTIONS = re.compile(r"\s--?[A-Za-z].*")
_EDITABLE = re.compile(r"(-e|--editable)[\s=]+")
_EGG = re.compile(r"#(?:.*&)?egg=([A-Za-z0-9._-]+)")
_LONG_DOTTED_KEY = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}""")


class DeclaredDependency(NamedTuple):
    """A dependency as spelled in the file, and the only version that it allows; None where it allows several."""

    name: str
    version: str | None


Parser = Callable[[str], Iterable[DeclaredDependency]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFormat:
    """The parser of a kind of file, and whether the file is a lock file, which lists resolved versions."""

    parse: Parser
    is_lock: bool


def format_of(name: str) -> ManifestFormat | None:
    """Return the format of a file by its base name; None where it declares no dependencies."""
    for pattern, manifest_format in _FORMATS:
        if pattern.fullmatch(name):
            return manifest_format
    return None


def parse_requirement(text: str) -> DeclaredDependency | None:
    """Parse one PEP 508 requirement, or a valid name with a specifier that only older tools accept; None for others."""
    text = " ".join(text.split())
    match = _LIKE_REQUIREMENT.fullmatch(text) if len(text) <= _LINE_LIMIT else None
    if match is None:
        return None
    try:
        parsed = Requirement(text)
    except (InvalidRequirement, ValueError, RecursionError):
        return DeclaredDependency(match[1], None)
    exact = [item.version for item in parsed.specifier if item.operator in ("==", "===") and "*" not in item.version]
    return DeclaredDependency(parsed.name, exact[0] if exact else None)


def parse_requirements(text: str) -> Iterator[DeclaredDependency]:
    """Parse pip's requirements format.

    `-r` is not followed, because the tree's other files are read anyway. Paths and URLs without a name are skipped.
    """
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        wanted = line.strip().partition(" --hash")[0]
        if not wanted or wanted[0] in "#./" or len(wanted) > _LINE_LIMIT:
            continue
        editable = _EDITABLE.match(wanted)
        if editable or "://" in wanted.partition("@")[0]:
            egg = _EGG.search(wanted)
            found = DeclaredDependency(egg[1], None) if egg else None
        else:
            found = parse_requirement(_OPTIONS.sub("", _COMMENT.sub("", wanted)))
        if found:
            yield found


def parse_pyproject(text: str) -> Iterator[DeclaredDependency]:
    """Parse PEP 621 dependencies, PEP 735 groups, PEP 518 build requirements, and the tables of poetry, uv and pdm."""
    document = _toml(text)
    lists = [
        _at(document, "build-system", "requires"),
        _at(document, "project", "dependencies"),
        *_values(_at(document, "project", "optional-dependencies")),
        *_values(_at(document, "dependency-groups")),
        _at(document, "tool", "uv", "dev-dependencies"),
        *_values(_at(document, "tool", "pdm", "dev-dependencies")),
    ]
    for wanted in lists:
        yield from _requirements(wanted)
    poetry = _at(document, "tool", "poetry")
    tables = [_at(group, "dependencies") for group in _values(_at(poetry, "group"))]
    for table in (_at(poetry, "dependencies"), _at(poetry, "dev-dependencies"), *tables):
        yield from _table(table, _POETRY_EXACT, exclude="python")


def parse_setup_cfg(text: str) -> Iterator[DeclaredDependency]:
    """Parse the requirements in `[options]` and `[options.extras_require]`. `setup.py` would have to be executed."""
    section = key = ""
    for line in text.splitlines():
        if line.lstrip().startswith(("#", ";")):
            continue
        if line.startswith("["):
            section, key = line.partition("]")[0][1:].strip(), ""
            continue
        wanted = [line]
        if line[:1].strip():
            match = _SETTING.match(line)
            key = match[1].strip().lower().replace("-", "_") if match else ""
            wanted = match[2].split(";") if match else []
        if key and (section == "options.extras_require" or (section == "options" and key in _SETUP_KEYS)):
            yield from _requirements(wanted)


def parse_pipfile(text: str) -> Iterator[DeclaredDependency]:
    """Parse `[packages]`, `[dev-packages]` and pipenv's custom categories."""
    for section, table in _toml(text).items():
        if section not in ("requires", "pipenv", "scripts"):
            yield from _table(table, _EXACT)


def parse_pipfile_lock(text: str) -> Iterator[DeclaredDependency]:
    """Parse every category of pipenv's lock file."""
    document = json.loads(text)
    for section, table in document.items() if isinstance(document, dict) else ():
        if section != "_meta":
            yield from _table(table, _EXACT)


def parse_lock(text: str) -> Iterator[DeclaredDependency]:
    """Parse the tables `[[package]]` of poetry, uv and pdm, and `[[packages]]` of PEP 751."""
    document = _toml(text)
    for key in ("package", "packages"):
        packages = document.get(key)
        for package in packages if isinstance(packages, list) else ():
            name, version = _at(package, "name"), _at(package, "version")
            if isinstance(name, str):
                yield DeclaredDependency(name, version if isinstance(version, str) else None)


def _toml(text: str) -> Mapping[str, Any]:
    # tomllib takes quadratic time for `a.a.a.a...`, and no real key has that many parts.
    if _LONG_DOTTED_KEY.search(text):
        raise ValueError("a key has more than 32 parts")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _at(value: Any, *keys: str) -> Any:
    """Return the value under the nested keys; None where one of the tables is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else []


def _requirements(wanted: Any) -> Iterator[DeclaredDependency]:
    for text in wanted if isinstance(wanted, list) else ():
        found = parse_requirement(text) if isinstance(text, str) else None
        if found:
            yield found


def _table(table: Any, exact: re.Pattern[str], exclude: str = "") -> Iterator[DeclaredDependency]:
    """Yield the entries of a table that maps names to a version, to a table with one, or (poetry) to several tables."""
    for name, wanted in table.items() if isinstance(table, dict) else ():
        version = wanted if isinstance(wanted, str) else _at(wanted, "version")
        match = exact.fullmatch(version) if isinstance(version, str) and len(version) < _LINE_LIMIT else None
        if name != exclude:
            yield DeclaredDependency(name, match[1] if match else None)


_FORMATS = (
    (re.compile(r".*\.txt"), ManifestFormat(parse=parse_requirements, is_lock=False)),
    (re.compile(r"pyproject\.toml"), ManifestFormat(parse=parse_pyproject, is_lock=False)),
    (re.compile(r"setup\.cfg"), ManifestFormat(parse=parse_setup_cfg, is_lock=False)),
    (re.compile(r"Pipfile"), ManifestFormat(parse=parse_pipfile, is_lock=False)),
    (re.compile(r"Pipfile\.lock"), ManifestFormat(parse=parse_pipfile_lock, is_lock=True)),
    (re.compile(r"(poetry|uv|pdm)\.lock|pylock.*\.toml"), ManifestFormat(parse=parse_lock, is_lock=True)),
)
