"""Parsers for the files that declare dependencies. They turn text into names and versions and execute nothing.

A parser raises ValueError (the base class of TOML's, JSON's and Unicode's errors) where the text is not in its format,
and skips single entries that it cannot read.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from collectors.dependencies.project_format import (
    EXACT,
    at,
    parse_hatch,
    parse_pixi,
    parse_pyproject,
    read_toml,
    table_entries,
)
from collectors.dependencies.requirements_format import (
    DeclaredDependency,
    Entry,
    Include,
    OwnProject,
    PackageIndexUrl,
    parse_line,
    parse_requirement,
    parse_requirements,
)
from domain.metrics.manifest_files import is_manifest

_SETTING = re.compile(r"([^=:]+)[=:](.*)")
_SETUP_KEYS = ("install_requires", "setup_requires", "tests_require")
_CONDA_ITEM = re.compile(
    r"(?:[\w./-]++::)?([A-Za-z0-9][\w.-]*+)[ \t]*+(?:(==?)[ \t]*+([\w.!+]++)(=[\w.*]++)?)?[^\n]*", re.ASCII
)
_INLINE_LIST = re.compile(r"^dependencies:[ \t]*+\[([^\[\]]*+)\]", re.MULTILINE)
_INLINE_ITEM = re.compile(r"#[^\n]*+|\"([^\"\n]*+)\"|'([^'\n]*+)'|([^\s,\"'#{}]++)")
_LOCAL_SOURCES = ("virtual", "editable", "directory", "path", "git", "url", "file", "legacy", "vcs", "archive")
"""Of a locked package, as uv, poetry, pdm and PEP 751 write it: it comes from no index, or not from the default one."""

Parser = Callable[[str], Iterable[Entry]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFormat:
    """The parser of a kind of file, and what its entries mean.

    A lock file lists resolved versions. A file of constraints only limits the versions of what other files declare.
    """

    parse: Parser
    is_lock: bool = False
    is_constraint: bool = False


REQUIREMENTS = ManifestFormat(parse=parse_requirements)
CONSTRAINTS = ManifestFormat(parse=parse_requirements, is_constraint=True)


def format_of(path: str) -> ManifestFormat | None:
    """Return the format of a file by its path; None where it declares no dependencies."""
    name = path.rpartition("/")[2]
    for pattern, manifest_format in _FORMATS:
        if pattern.fullmatch(name):
            return manifest_format
    return REQUIREMENTS if is_manifest(path) else None


def parse_setup_cfg(text: str) -> Iterator[Entry]:
    """Parse the requirements in `[options]` and `[options.extras_require]`, and the project's name and folders."""
    names: list[str] = []
    roots: list[str] = []
    for section, key, values in _settings(text):
        if (section, key) == ("metadata", "name"):
            names += values
        elif (section, key) in (("options", "package_dir"), ("options.packages.find", "where")):
            roots += [value.rpartition("=")[2] for value in values]
        elif section == "options.extras_require" or (section == "options" and key in _SETUP_KEYS):
            yield from _setup_entries(values)
    if names:
        yield OwnProject(names[0].strip(), tuple(root.strip() for root in roots if root.strip()))


def _settings(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield section, key and values of each line; a value may go on over indented lines."""
    section = key = ""
    for line in text.splitlines():
        if line.lstrip().startswith(("#", ";")):
            continue
        if line.startswith("["):
            section, key = line.partition("]")[0][1:].strip(), ""
            continue
        values = [line]
        if line[:1].strip():
            match = _SETTING.match(line)
            key = match[1].strip().lower().replace("-", "_") if match else ""
            values = match[2].split(";") if match else []
        values = [value for value in values if value.strip()]
        if key and values:
            yield section, key, values


def _setup_entries(wanted: Iterable[str]) -> Iterator[Entry]:
    for text in wanted:
        if text.strip().startswith("file:"):
            yield from (Include(part.strip()) for part in text.strip().removeprefix("file:").split(","))
        elif (found := parse_requirement(text)) is not None:
            yield found


def parse_pipfile(text: str) -> Iterator[Entry]:
    """Parse `[packages]`, `[dev-packages]` and pipenv's custom categories."""
    for section, table in read_toml(text).items():
        if section == "source":
            yield from _index_urls(table)
        if section not in ("requires", "pipenv", "scripts"):
            yield from table_entries(table, EXACT)


def parse_pipfile_lock(text: str) -> Iterator[Entry]:
    """Parse every category of pipenv's lock file."""
    document = json.loads(text)
    yield from _index_urls(at(document, "_meta", "sources"))
    for section, table in document.items() if isinstance(document, dict) else ():
        if section != "_meta":
            yield from table_entries(table, EXACT)


def _index_urls(sources: object) -> Iterator[PackageIndexUrl]:
    for source in sources if isinstance(sources, list) else ():
        if isinstance(url := at(source, "url"), str):
            yield PackageIndexUrl(url)


def parse_lock(text: str) -> Iterator[Entry]:
    """Parse the tables `[[package]]` of poetry, uv and pdm, and `[[packages]]` of PEP 751."""
    document = read_toml(text)
    urls: dict[str, None] = {}
    for key in ("package", "packages"):
        packages = document.get(key)
        for package in packages if isinstance(packages, list) else ():
            name, version = at(package, "name"), at(package, "version")
            if isinstance(name, str):
                yield DeclaredDependency(name, version if isinstance(version, str) else None, _is_indexed(package))
            named = (at(package, "source", "registry"), at(package, "index"))
            urls |= {url: None for url in named if isinstance(url, str)}
    yield from map(PackageIndexUrl, urls)


def _is_indexed(package: object) -> bool:
    """Return whether a locked package comes from the default index."""
    source = at(package, "source")
    if isinstance(source, dict) and source.get("type") in _LOCAL_SOURCES:
        return False
    return not any(isinstance(item, dict) and any(key in item for key in _LOCAL_SOURCES) for item in (source, package))


def parse_environment(text: str) -> Iterator[Entry]:
    """Parse `dependencies` of a conda environment, and pip's requirements in it, line by line.

    This is not YAML's full grammar, but what such files consist of: lists of one item a line, or one list in brackets.
    """
    in_list = in_pip = False
    pip_indent = 0
    inline = _INLINE_LIST.search(text)
    items = ("".join(parts) for parts in _INLINE_ITEM.findall(inline[1])) if inline else ()
    yield from filter(None, map(_parse_conda, items))
    for line in text.splitlines():
        item = line.strip()
        if not item or item[0] == "#":
            continue
        if line[0] not in " -\t":
            in_list, in_pip = item.partition("#")[0].strip() == "dependencies:", False
        elif in_list and item.startswith("- "):
            entry = item[2:].partition(" #")[0].strip().strip("\"'")
            indent = len(line) - len(line.lstrip())
            if in_pip and indent > pip_indent:
                found = parse_line(entry)
            else:
                in_pip, pip_indent = entry == "pip:", indent
                found = None if in_pip else _parse_conda(entry)
            if found is not None:
                yield found


def _parse_conda(item: str) -> DeclaredDependency | None:
    """Parse `channel::name=version=build`. A single `=` is exact if a build, or at least three numbers, follow."""
    match = _CONDA_ITEM.fullmatch(item) if len(item) < 1_000 else None
    if match is None or match[1] == "python":
        return None
    is_exact = match[2] == "==" or match[4] or (match[3] or "").count(".") >= 2
    return DeclaredDependency(match[1], match[3] if is_exact else None)


_FORMATS = (
    (re.compile(r"constraints[^/]*\.(txt|in)"), CONSTRAINTS),
    (re.compile(r"pyproject\.toml"), ManifestFormat(parse=parse_pyproject)),
    (re.compile(r"pixi\.toml"), ManifestFormat(parse=parse_pixi)),
    (re.compile(r"hatch\.toml"), ManifestFormat(parse=parse_hatch)),
    (re.compile(r"setup\.cfg"), ManifestFormat(parse=parse_setup_cfg)),
    (re.compile(r"Pipfile"), ManifestFormat(parse=parse_pipfile)),
    (re.compile(r"Pipfile\.lock"), ManifestFormat(parse=parse_pipfile_lock, is_lock=True)),
    (re.compile(r"(poetry|uv|pdm)\.lock|pylock.*\.toml"), ManifestFormat(parse=parse_lock, is_lock=True)),
    (re.compile(r"[^/]*requirements[^/]*\.lock"), ManifestFormat(parse=parse_requirements, is_lock=True)),
    (re.compile(r"[^/]*environment[^/]*\.ya?ml"), ManifestFormat(parse=parse_environment)),
)
