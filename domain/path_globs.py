"""Globs over the paths of a source: how they are written, what they match, and their limits.

A path is relative, with `/` between its parts. A glob is compared with it part by part: `*` stands for any characters
of one part and `?` for one; a part `**` stands for any number of directories, also none. A glob that matches a
directory matches all that is below it.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from domain.errors import InvalidInputError
from domain.text import JSON, one_line, printable_name

MAX_GLOBS = 20
"""The most globs of one list."""

MAX_GLOB_LENGTH = 200
"""The most characters of a glob."""

_ANY_DIRECTORIES = "**"
_UNSUPPORTED = re.compile(r"[\[\]{}]")


def parse_globs(value: JSON, option: str) -> tuple[str, ...]:
    """Return the globs of a list, without `./` before and `/` after them, sorted; equal ones become one.

    `option` names the list in errors. Raises InvalidInputError, in one line.
    """
    if not isinstance(value, list | tuple) or not all(isinstance(glob, str) for glob in value):
        raise InvalidInputError(f"the option {option} must be a list of globs, such as src/**/*.py")
    if len(value) > MAX_GLOBS:
        raise InvalidInputError(f"the option {option} has {len(value)} globs; give at most {MAX_GLOBS}")
    return tuple(sorted({_parse_glob(glob, option) for glob in value}))


def _parse_glob(glob: str, option: str) -> str:
    if len(glob) > MAX_GLOB_LENGTH:
        raise InvalidInputError(
            f"a glob of the option {option} has {len(glob)} characters; give at most {MAX_GLOB_LENGTH}"
        )
    shown = f"the glob {one_line(glob, 80)!r} of the option {option}"
    if printable_name(glob) != glob or "\n" in glob or "\t" in glob:
        raise InvalidInputError(f"{shown} has characters that are not shown; write ? in their place")
    if glob.startswith("/"):
        raise InvalidInputError(f"{shown} must be relative to the source's root, without / before it")
    if _UNSUPPORTED.search(glob):
        raise InvalidInputError(f"{shown} has brackets, which are not supported; write ? or * in their place")
    parts = glob.removeprefix("./").removesuffix("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise InvalidInputError(f"{shown} has a part that is empty, . or ..; write it as paths of results are written")
    if any(_ANY_DIRECTORIES in part and part != _ANY_DIRECTORIES for part in parts):
        raise InvalidInputError(f"{shown} has ** beside other characters; it must stand alone between slashes")
    repeated = zip(parts, [None, *parts], strict=False)
    return "/".join(part for part, before in repeated if not part == before == _ANY_DIRECTORIES)


def matches_any(path: str, globs: Sequence[str]) -> bool:
    """Return whether one of the globs, as `parse_globs` returns them, matches the path or a directory above it."""
    return any(_compiled(glob).fullmatch(path) for glob in globs)


@lru_cache(maxsize=256)
def _compiled(glob: str) -> re.Pattern[str]:
    """Return the glob as a regular expression that never tries a part of the path again after it went on.

    The first match of what stands between two stars leaves the most for the rest, so it need not be reconsidered:
    atomic groups, `(?>...)`, keep the time within the product of both lengths. All below a directory matches with it,
    so for the parts after the last `**` the first match is the answer too.
    """
    blocks: list[list[str]] = [[]]
    for part in glob.split("/"):
        if part == _ANY_DIRECTORIES:
            blocks.append([])
        else:
            blocks[-1].append(_part(part))
    expression = "/".join(blocks[0])
    for block in blocks[1:]:
        slash = "/" if expression else ""
        found = f"(?>(?:[^/]*+/)*?{'/'.join(block)}(?=/|\\Z))" if block else ".+"
        expression += slash + found
    return re.compile(f"{expression}(?:/.*)?", re.DOTALL)


def _part(part: str) -> str:
    """Return the expression of one part: within it, each literal text is found at its first place after a star."""
    literals = [re.escape(literal).replace(r"\?", "[^/]") for literal in re.sub(r"\*+", "*", part).split("*")]
    if len(literals) == 1:
        return literals[0]
    middle = "".join(f"(?>[^/]*?{literal})" for literal in literals[1:-1] if literal)
    return f"{literals[0]}{middle}[^/]*{literals[-1]}(?=/|\\Z)"
