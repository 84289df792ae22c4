"""The distributions that provide an imported name.

The table is `data/import_names.json`. Its `distributions` maps a dotted name to the distribution that provides it, to a
list where several provide it (the most common first), or to an empty list where the name is only a namespace. Its
`namespaces` maps a dotted prefix to the common prefix of the distributions below it: `google.cloud.storage` is
`google-cloud-storage`. No name in it has the version of an API (`_v1`). What a project declares is asked before the
table: see `DeclaredNames.find`.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from packaging.utils import canonicalize_name

_DISTRIBUTION = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE | re.ASCII)
_API_VERSION = re.compile(r"_v[0-9]+(?:p[0-9]+)?(?:(?:alpha|beta)[0-9]*)?(?=\.|\Z)")
"""The version that generated clients append to a module's name: `_v1`, `_v1beta1`, `_v1p1beta1`."""

_AFFIXES = ("python-{}", "py-{}", "{}-py", "{}-python")
_TABLE: Mapping[str, Any] = json.loads(
    files("collectors.dependencies").joinpath("data/import_names.json").read_text("utf-8")
)

STANDARD_LIBRARY = frozenset(sys.stdlib_module_names)
"""Top-level names of the running Python's standard library."""

OTHER_STANDARD_LIBRARY = frozenset(_TABLE["standard_library_elsewhere"])
"""Names of the standard library of other Python versions, and names that cannot be installed (`__main__`)."""


def canonical_name(name: str) -> str | None:
    """Return a distribution's name normalised by PEP 503; None where the name is invalid."""
    if len(name) > 200 or not _DISTRIBUTION.fullmatch(name):
        return None
    return str(canonicalize_name(name))


class DeclaredNames:
    """The distributions that a tree declares, found by the names that its files import."""

    def __init__(self, names: Iterable[str]) -> None:
        """`names` are normalised (PEP 503)."""
        self._names = frozenset(names)
        self._without_dashes = {name.replace("-", ""): name for name in sorted(self._names)}

    def find(self, dotted: str, *, only_sure: bool = False) -> str | None:
        """Return the declared distribution that provides `import dotted`; None if none of them fits.

        Tried in this order: the top-level name; the dotted name's prefixes with dashes, the longest first, without the
        version of an API (`_v1`); the same with `python-` or `py-` before or after it; the table; the prefixes again,
        where dashes do not count (`google.cloud.orgpolicy` is `google-cloud-org-policy`). Below a namespace the longest
        prefix comes before the top-level name, and what the table lists for a prefix before the prefix itself.
        `only_sure` leaves out affixes and other dashes.
        """
        names = _possible_names(dotted)
        forms = ("{}",) if only_sure else ("{}", *_AFFIXES)
        guesses = (form.format(name) for form in forms for name in names)
        found = next((name for name in (*guesses, *distributions_for(dotted)) if name in self._names), None)
        if found is not None or only_sure:
            return found
        others = (self._without_dashes.get(name.replace("-", "")) for name in names)
        return next((name for name in others if name is not None), None)


def _possible_names(dotted: str) -> list[str]:
    """Return the names that the distribution may have by the dotted name alone, the most likely first.

    Each prefix below a namespace is preceded by the distributions that the table lists for it.
    """
    parts = dotted.split(".", _MAX_PARTS)[:_MAX_PARTS]
    prefixes = list(_prefixes(parts, shortest=1))
    if prefixes[-1] not in _NAMESPACE_TOPS:
        prefixes.insert(0, prefixes.pop())
    names: list[str] = []
    for prefix in prefixes:
        names += _DISTRIBUTIONS.get(prefix, ()) if "." in prefix else ()
        name = canonical_name(_API_VERSION.sub("", prefix).replace(".", "-"))
        names += () if name is None else (name,)
    return names


def distributions_for(dotted: str) -> Sequence[str]:
    """Return the distributions that may provide `import dotted` by the table, the most likely first.

    The longest prefix of the dotted name that is in the table decides. A name that is not in the table is assumed to be
    the distribution's name. The result is empty for a bare namespace, and for a name that no distribution can have
    (`_private`).
    """
    parts = dotted.split(".", _MAX_PARTS)[:_MAX_PARTS]
    found = _look_up(parts, shortest=1)
    if found is not None:
        return found
    name = canonical_name(parts[0])
    return () if name is None else (name,)


def known_below_namespace(dotted: str) -> Sequence[str]:
    """Return the distributions of a prefix with at least two parts that the table lists itself; else none."""
    parts = dotted.split(".", _MAX_PARTS)[:_MAX_PARTS]
    return _look_up(parts, shortest=2, with_namespaces=False) or ()


def _look_up(parts: Sequence[str], *, shortest: int, with_namespaces: bool = True) -> Sequence[str] | None:
    for head in _prefixes(parts, shortest):
        if head in _DISTRIBUTIONS:
            return _DISTRIBUTIONS[head]
        parent, _, last = head.rpartition(".")
        prefix = _NAMESPACES.get(parent) if with_namespaces else None
        name = canonical_name(f"{prefix}-{last}") if prefix else None
        if name is not None:
            return (name,)
    return None


def _prefixes(parts: Sequence[str], shortest: int) -> Iterator[str]:
    """Yield the prefixes of the dotted name, the longest first, without versions of an API below the top-level name."""
    plain = [parts[0], *(_API_VERSION.sub("", part) if "_v" in part else part for part in parts[1:])]
    for length in range(len(plain), shortest - 1, -1):
        yield ".".join(plain[:length])


_DISTRIBUTIONS: Mapping[str, tuple[str, ...]] = {
    dotted: (found,) if isinstance(found, str) else tuple(found) for dotted, found in _TABLE["distributions"].items()
}
_NAMESPACES: Mapping[str, str] = _TABLE["namespaces"]
_NAMESPACE_TOPS = frozenset(
    dotted.partition(".")[0] for dotted, found in _DISTRIBUTIONS.items() if "." in dotted or not found
) | frozenset(dotted.partition(".")[0] for dotted in _NAMESPACES)
"""Top-level names that several distributions share."""

_MAX_PARTS = 1 + max(dotted.count(".") + 1 for dotted in (*_DISTRIBUTIONS, *_NAMESPACES))
