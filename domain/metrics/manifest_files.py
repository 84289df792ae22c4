"""Names of the files that declare dependencies, and the further files that these include."""

import posixpath
import re
from collections.abc import Iterator

MANIFEST_NAME_PATTERN = re.compile(
    r"([^/]*requirements[^/]*\.(txt|in|lock)|constraints[^/]*\.(txt|in)|pyproject\.toml|setup\.cfg|pixi\.toml"
    r"|hatch\.toml|Pipfile|Pipfile\.lock|poetry\.lock|uv\.lock|pdm\.lock|pylock[^/]*\.toml"
    r"|[^/]*environment[^/]*\.ya?ml)"
)
"""Names of files that may declare dependencies; fetched in addition to `.py` files, for the `deps` collector."""

MAX_MANIFEST_BYTES = 8 * 1024 * 1024
"""A larger manifest is not read; the lock file of some thousand packages is smaller."""

MAX_INCLUDED_FILES = 200
"""Files that the manifests of one tree may include, beside those that have the name of a manifest."""

_LINE_LIMIT = 4_000
_INCLUDE = re.compile(r"(?:-[rc]|--(?:requirement|constraint)(?=[\s=]))[\s=]*+(\S+)")
_DYNAMIC_FILE = re.compile(r"(?<![\w-])files?+\s*+=\s*+(\[[^\]\[]{0,2000}\]|\"[^\"\n]{1,300}\"|'[^'\n]{1,300}')")
_CFG_FILE = re.compile(r"(?<![\w-])file:[ \t]*+([^\n#;]{1,2000})")
_QUOTED = re.compile(r"\"([^\"\n]{1,300})\"|'([^'\n]{1,300})'")


def is_manifest(path: str) -> bool:
    """Return whether a file of this path may declare dependencies: by its name, or as `requirements/NAME.txt`."""
    folder, _, name = path.rpartition("/")
    if MANIFEST_NAME_PATTERN.fullmatch(name):
        return True
    return folder.rpartition("/")[2] == "requirements" and name.endswith((".txt", ".in"))


def included_paths(path: str, text: str) -> Iterator[str]:
    """Yield the paths that a manifest may include: by `-r` or `-c`, or as setuptools reads dependencies from files.

    Each is relative to the tree, as `path` is. Paths that lead outside are left out. Only names are collected here:
    some may be of files that declare nothing.
    """
    for target in _targets(path.rpartition("/")[2], text):
        found = resolve_include(path, target)
        if found is not None:
            yield found


def resolve_include(path: str, target: str) -> str | None:
    """Return the path of a file that `path` includes as `target`; None for a URL and for one outside the tree."""
    target = target.replace("\\", "/").removeprefix("file:")
    if not target or len(target) > _LINE_LIMIT or target.startswith("/") or "://" in target or "${" in target:
        return None
    found = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return None if found.startswith("..") or found == "." or re.match(r"[A-Za-z]:", target) else found


def include_of_line(line: str) -> str | None:
    """Return the file that a line of pip's format includes (`-r FILE`, `--constraint=FILE`); None for other lines."""
    match = _INCLUDE.match(line) if len(line) <= _LINE_LIMIT else None
    return match[1].strip("\"'") if match else None


def _targets(name: str, text: str) -> Iterator[str]:
    if name == "pyproject.toml":
        for match in _DYNAMIC_FILE.finditer(text) if "dynamic" in text else ():
            yield from (double or single for double, single in _QUOTED.findall(match[1]))
    elif name == "setup.cfg":
        for match in _CFG_FILE.finditer(text):
            yield from (part.strip() for part in match[1].split(","))
    elif name.endswith((".toml", ".lock", ".yml", ".yaml")) or name == "Pipfile":
        return
    else:
        for line in text.splitlines():
            target = include_of_line(line.strip())
            if target is not None:
                yield target
