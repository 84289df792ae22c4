"""From the name that code imports to the distribution that brings it.

The table is `data/import_names.json`: `distributions` maps a dotted name to the distribution, or to several that bring
the same name, the usual one first, or to none where the name is only a namespace; `namespaces` maps a dotted prefix to
the distributions' common prefix, so that `google.cloud.storage` is `google-cloud-storage`.
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
"""Top-level names of the running Python's own library."""

OTHER_STANDARD_LIBRARY = frozenset(_TABLE["standard_library_elsewhere"])
"""Names that belong to the library of an older or newer Python, or to none that can be installed (`__main__`)."""


def canonical_name(name: str) -> str | None:
    """A distribution's name as PEP 503 normalises it; None where no distribution can be called so."""
    if len(name) > 200 or not _DISTRIBUTION.fullmatch(name):
        return None
    return str(canonicalize_name(name))


def distributions_for(dotted: str) -> Sequence[str]:
    """The distributions that may bring what `import dotted` names, the likeliest first.

    The longest part of the dotted name that the table knows decides; a name that it does not know is taken for the
    distribution's. Empty for a bare namespace, and for a name that no distribution can have (`_private`).
    """
    parts = dotted.split(".", _LONGEST)[:_LONGEST]
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
_LONGEST = 1 + max(dotted.count(".") + 1 for dotted in (*_DISTRIBUTIONS, *_NAMESPACES))
