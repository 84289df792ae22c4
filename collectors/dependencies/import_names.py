"""The distributions that provide an imported name.

The table is `data/import_names.json`. Its `distributions` maps a dotted name to the distribution that provides it, to a
list where several provide it (the most common first), or to an empty list where the name is only a namespace. Its
`namespaces` maps a dotted prefix to the common prefix of the distributions below it: `google.cloud.storage` is
`google-cloud-storage`.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from packaging.utils import canonicalize_name

_DISTRIBUTION = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE | re.ASCII)
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


def distributions_for(dotted: str) -> Sequence[str]:
    """Return the distributions that may provide `import dotted`, the most likely first.

    The longest prefix of the dotted name that is in the table decides. A name that is not in the table is assumed to be
    the distribution's name. The result is empty for a bare namespace, and for a name that no distribution can have
    (`_private`).
    """
    parts = dotted.split(".", _MAX_PARTS)[:_MAX_PARTS]
    for length in range(len(parts), 0, -1):
        head = ".".join(parts[:length])
        if head in _DISTRIBUTIONS:
            return _DISTRIBUTIONS[head]
        prefix = _NAMESPACES.get(head.rpartition(".")[0])
        name = canonical_name(f"{prefix}-{parts[length - 1]}") if prefix else None
        if name is not None:
            return (name,)
    name = canonical_name(parts[0])
    return () if name is None else (name,)


_DISTRIBUTIONS: Mapping[str, tuple[str, ...]] = {
    dotted: (found,) if isinstance(found, str) else tuple(found) for dotted, found in _TABLE["distributions"].items()
}
_NAMESPACES: Mapping[str, str] = _TABLE["namespaces"]
_MAX_PARTS = 1 + max(dotted.count(".") + 1 for dotted in (*_DISTRIBUTIONS, *_NAMESPACES))
