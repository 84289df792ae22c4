"""Parser for `pyproject.toml`, with the tables of the build and packaging tools, `pixi.toml` and `hatch.toml`."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from collectors.dependencies.requirements_format import (
    LINE_LIMIT,
    DeclaredDependency,
    Entry,
    Include,
    OwnProject,
    PackageIndexUrl,
    parse_line,
)

EXACT = re.compile(r"\s*+={2,3}+\s*+([^\s*,;<>=!~^]++)\s*+")
_POETRY_EXACT = re.compile(r"\s*+={0,2}+\s*+v?(\d[^\s*,;<>=!~^|]*+)\s*+")
_LONG_DOTTED_KEY = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}""")
_SOURCE_KEYS = ("path", "git", "url", "file", "workspace", "editable", "source", "index")
"""Keys of a dependency that does not come from the default index."""

_PIXI_TABLES = ("dependencies", "pypi-dependencies", "host-dependencies", "build-dependencies", "run-dependencies")


def read_toml(text: str) -> Mapping[str, Any]:
    """Parse TOML. Raises ValueError."""
    # tomllib takes quadratic time for `a.a.a.a...`, and no real key has that many parts.
    if _LONG_DOTTED_KEY.search(text):
        raise ValueError("a key has more than 32 parts")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def at(value: Any, *keys: str) -> Any:
    """Return the value under the nested keys; None where one of the tables is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else []


def _strings(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str)]


def parse_pyproject(text: str) -> Iterator[Entry]:
    """Parse PEP 621 dependencies, PEP 735 groups, PEP 518 build requirements, and the tables of the tools.

    These are poetry, uv, pdm, rye, hatch, pixi, flit, and the files that setuptools reads dependencies from.
    """
    document = read_toml(text)
    elsewhere = _taken_from_elsewhere(document)
    for entry in _entries(document):
        if isinstance(entry, DeclaredDependency) and entry.name.lower() in elsewhere:
            entry = entry._replace(indexed=False)  # noqa: PLW2901
        yield entry
    yield from _own_projects(document)
    yield from _indexes(document)


def _indexes(document: Mapping[str, Any]) -> Iterator[PackageIndexUrl]:
    tool = at(document, "tool")
    lists = (at(tool, "poetry", "source"), at(tool, "uv", "index"), at(tool, "pdm", "source"))
    urls = [at(item, "url") for found in lists for item in (found if isinstance(found, list) else ())]
    for key in ("index-url", "extra-index-url", "find-links"):
        urls += _strings(at(tool, "uv", key))
    yield from (PackageIndexUrl(url) for url in urls if isinstance(url, str))


def _taken_from_elsewhere(document: Mapping[str, Any]) -> set[str]:
    sources = at(document, "tool", "uv", "sources")
    return {name.lower() for name in sources} if isinstance(sources, dict) else set()


def _entries(document: Mapping[str, Any]) -> Iterator[Entry]:
    tool = at(document, "tool")
    lists = [
        at(document, "build-system", "requires"),
        at(document, "project", "dependencies"),
        *_values(at(document, "project", "optional-dependencies")),
        *_values(at(document, "dependency-groups")),
        at(tool, "uv", "dev-dependencies"),
        at(tool, "rye", "dev-dependencies"),
        *_values(at(tool, "pdm", "dev-dependencies")),
        at(tool, "flit", "metadata", "requires"),
        at(tool, "flit", "metadata", "dev-requires"),
        *_values(at(tool, "flit", "metadata", "requires-extra")),
    ]
    for wanted in (*lists, *_hatch_lists(at(tool, "hatch"))):
        yield from _requirements(wanted)
    poetry = at(tool, "poetry")
    tables = [at(group, "dependencies") for group in _values(at(poetry, "group"))]
    for table in (at(poetry, "dependencies"), at(poetry, "dev-dependencies"), *tables):
        yield from table_entries(table, _POETRY_EXACT, exclude="python")
    yield from _pixi(at(tool, "pixi"))
    dynamic = at(tool, "setuptools", "dynamic")
    for files in (at(dynamic, "dependencies"), *_values(at(dynamic, "optional-dependencies"))):
        yield from (Include(name) for name in _strings(at(files, "file")))
    hook = at(tool, "hatch", "metadata", "hooks", "requirements_txt")
    for names in (at(hook, "files"), at(hook, "filename"), *_values(at(hook, "optional-dependencies"))):
        yield from (Include(name) for name in _strings(names))


def parse_hatch(text: str) -> Iterator[Entry]:
    """Parse `hatch.toml`: the dependencies of its environments."""
    for wanted in _hatch_lists(read_toml(text)):
        yield from _requirements(wanted)


def _hatch_lists(hatch: Any) -> list[Any]:
    environments = _values(at(hatch, "envs"))
    return [at(each, key) for each in environments for key in ("dependencies", "extra-dependencies")]


def _own_projects(document: Mapping[str, Any]) -> Iterator[OwnProject]:
    tool = at(document, "tool")
    names = (at(document, "project", "name"), at(tool, "poetry", "name"), at(tool, "flit", "metadata", "dist-name"))
    packages = at(tool, "poetry", "packages")
    roots = [
        *_strings(at(tool, "setuptools", "packages", "find", "where")),
        *_strings(at(tool, "setuptools", "package-dir", "")),
        *_strings(at(tool, "pdm", "build", "package-dir")),
        *(root for item in (packages if isinstance(packages, list) else ()) for root in _strings(at(item, "from"))),
    ]
    yield OwnProject(next((name for name in names if isinstance(name, str)), None), tuple(roots))


def parse_pixi(text: str) -> Iterator[Entry]:
    """Parse `pixi.toml`: the tables of dependencies, also those of features and platforms."""
    yield from _pixi(read_toml(text))


def _pixi(document: Any) -> Iterator[Entry]:
    parts = [document, *_values(at(document, "feature"))]
    targets = [target for part in parts for target in _values(at(part, "target"))]
    for table in (at(part, name) for part in (*parts, *targets) for name in _PIXI_TABLES):
        yield from table_entries(table, EXACT, exclude="python")


def _requirements(wanted: Any) -> Iterator[Entry]:
    for text in wanted if isinstance(wanted, list) else ():
        found = parse_line(text) if isinstance(text, str) else None
        if found:
            yield found


def table_entries(table: Any, exact: re.Pattern[str], exclude: str = "") -> Iterator[DeclaredDependency]:
    """Yield the entries of a table that maps names to a version, to a table with one, or (poetry) to several tables."""
    for name, wanted in table.items() if isinstance(table, dict) else ():
        version = wanted if isinstance(wanted, str) else at(wanted, "version")
        match = exact.fullmatch(version) if isinstance(version, str) and len(version) < LINE_LIMIT else None
        if name != exclude:
            yield DeclaredDependency(name, match[1] if match else None, not _is_from_elsewhere(wanted))


def _is_from_elsewhere(wanted: Any) -> bool:
    alternatives: Iterable[Any] = wanted if isinstance(wanted, list) else (wanted,)
    return any(isinstance(item, dict) and any(key in item for key in _SOURCE_KEYS) for item in alternatives)
