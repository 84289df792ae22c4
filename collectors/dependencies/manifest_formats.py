"""What each kind of file that declares dependencies says. Pure text in, names and versions out; nothing is run.

A parser raises ValueError (of which TOML's, JSON's and Unicode's errors are kinds) where the text is not what it should
be, and leaves out single entries that it cannot read.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement

_LONGEST_LINE = 4_000
_SETTING = re.compile(r"([^=:]+)[=:](.*)")
_SETUP_KEYS = ("install_requires", "setup_requires", "tests_require")
_EXACT = re.compile(r"\s*={2,3}\s*([^\s*,;<>=!~^]+)\s*")
_POETRY_EXACT = re.compile(r"\s*={0,2}\s*v?(\d[^\s*,;<>=!~^|]*)\s*")
_LIKE_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*) ?(\[[^\]]*\])? ?((<|>|==|!=|~=|;|@|\().*)?")
_COMMENT = re.compile(r"(^|\s)#.*")
_OPTIONS = re.compile(r"\s--?[A-Za-z].*")
_EDITABLE = re.compile(r"(-e|--editable)[\s=]+")
_EGG = re.compile(r"#(?:.*&)?egg=([A-Za-z0-9._-]+)")
_ENDLESS_KEY = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}""")


class DeclaredDependency(NamedTuple):
    """A dependency as the file spells it, with the one version it allows, None where it allows more than one."""

    name: str
    version: str | None


Parser = Callable[[str], Iterable[DeclaredDependency]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFormat:
    """How to read a kind of file, and whether it says what was chosen (a lock) and not what is wanted."""

    parse: Parser
    is_lock: bool


def format_of(name: str) -> ManifestFormat | None:
    """The format of a file of this name (without folders); None where it declares nothing."""
    for pattern, kind in _FORMATS:
        if pattern.fullmatch(name):
            return kind
    return None


def parse_requirement(text: str) -> DeclaredDependency | None:
    """One PEP 508 requirement; also what older tools accepted after a well-formed name. None where it is neither."""
    text = " ".join(text.split())
    match = _LIKE_REQUIREMENT.fullmatch(text) if len(text) <= _LONGEST_LINE else None
    if match is None:
        return None
    try:
        parsed = Requirement(text)
    except (InvalidRequirement, ValueError, RecursionError):
        return DeclaredDependency(match[1], None)
    exact = [item.version for item in parsed.specifier if item.operator in ("==", "===") and "*" not in item.version]
    return DeclaredDependency(parsed.name, exact[0] if exact else None)


def parse_requirements(text: str) -> Iterator[DeclaredDependency]:
    """The requirements format of pip. What `-r` names stands in the tree itself; paths and bare URLs name nothing."""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        wanted = line.strip().partition(" --hash")[0]
        if not wanted or wanted[0] in "#./" or len(wanted) > _LONGEST_LINE:
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
    """PEP 621, its optional dependencies, PEP 735 groups, PEP 518 build requirements; poetry's, uv's, pdm's tables."""
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
        yield from _table(table, _POETRY_EXACT, leave_out="python")


def parse_setup_cfg(text: str) -> Iterator[DeclaredDependency]:
    """Requirements in `[options]` and its extras; of `setup.py`, which would have to be run, nothing is read."""
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
    """`[packages]`, `[dev-packages]` and pipenv's further categories."""
    for section, table in _toml(text).items():
        if section not in ("requires", "pipenv", "scripts"):
            yield from _table(table, _EXACT)


def parse_pipfile_lock(text: str) -> Iterator[DeclaredDependency]:
    """Every category of pipenv's lock."""
    document = json.loads(text)
    for section, table in document.items() if isinstance(document, dict) else ():
        if section != "_meta":
            yield from _table(table, _EXACT)


def parse_lock(text: str) -> Iterator[DeclaredDependency]:
    """The tables `[[package]]` of poetry, uv and pdm, and `[[packages]]` of PEP 751."""
    document = _toml(text)
    for key in ("package", "packages"):
        packages = document.get(key)
        for package in packages if isinstance(packages, list) else ():
            name, version = _at(package, "name"), _at(package, "version")
            if isinstance(name, str):
                yield DeclaredDependency(name, version if isinstance(version, str) else None)


def _toml(text: str) -> Mapping[str, Any]:
    # The parser takes quadratic time over `a.a.a.a...`, and no honest key is that long.
    if _ENDLESS_KEY.search(text):
        raise ValueError("a key has too many parts")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _at(value: Any, *keys: str) -> Any:
    """What stands under the keys, None as soon as there is no such table."""
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


def _table(table: Any, exact: re.Pattern[str], leave_out: str = "") -> Iterator[DeclaredDependency]:
    """Names to a version, or to a table with one, or (poetry) to several such tables."""
    for name, wanted in table.items() if isinstance(table, dict) else ():
        version = wanted if isinstance(wanted, str) else _at(wanted, "version")
        match = exact.fullmatch(version) if isinstance(version, str) and len(version) < _LONGEST_LINE else None
        if name != leave_out:
            yield DeclaredDependency(name, match[1] if match else None)


_FORMATS = (
    (re.compile(r".*\.txt"), ManifestFormat(parse=parse_requirements, is_lock=False)),
    (re.compile(r"pyproject\.toml"), ManifestFormat(parse=parse_pyproject, is_lock=False)),
    (re.compile(r"setup\.cfg"), ManifestFormat(parse=parse_setup_cfg, is_lock=False)),
    (re.compile(r"Pipfile"), ManifestFormat(parse=parse_pipfile, is_lock=False)),
    (re.compile(r"Pipfile\.lock"), ManifestFormat(parse=parse_pipfile_lock, is_lock=True)),
    (re.compile(r"(poetry|uv|pdm)\.lock|pylock.*\.toml"), ManifestFormat(parse=parse_lock, is_lock=True)),
)
