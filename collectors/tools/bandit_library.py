"""The parts of bandit that are used here, imported without what only its command line needs.

Importing bandit draws a progress bar's library in, looks for plugins in all installed distributions, and imports its
report writers: together most of the time that a small analysis takes to start. None of it is used here: the tests are
loaded by `collectors.tools.bandit_rules`, from bandit's own distribution.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class _NoExtensions(list[Any]):
    """Stands for stevedore's `ExtensionManager`, and finds no plugins."""

    def __init__(self, **_options: object) -> None:
        super().__init__()

    def names(self) -> list[str]:
        """Return no names."""
        return []


def _stand_ins() -> dict[str, ModuleType]:
    names = ("rich", "rich.progress", "stevedore", "stevedore.extension", "yaml")
    modules = {name: ModuleType(name) for name in names}
    vars(modules["stevedore.extension"])["ExtensionManager"] = _NoExtensions
    for name, module in modules.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
    return modules


@contextmanager
def _without_unused_libraries() -> Iterator[None]:
    """Let imports in the block find empty modules in place of the libraries that are not loaded yet."""
    added = {name: module for name, module in _stand_ins().items() if name.partition(".")[0] not in sys.modules}
    sys.modules.update(added)
    try:
        yield
    finally:
        for name in added:
            del sys.modules[name]


with _without_unused_libraries():
    importlib.import_module("bandit")

from bandit.core import blacklisting  # noqa: E402
from bandit.core.context import Context  # noqa: E402
from bandit.core.manager import NOSEC_COMMENT, NOSEC_COMMENT_TESTS  # noqa: E402
from bandit.plugins.general_hardcoded_password import RE_CANDIDATES  # noqa: E402
from bandit.plugins.trojansource import BIDI_CHARACTERS  # noqa: E402

__all__ = ["BIDI_CHARACTERS", "NOSEC_COMMENT", "NOSEC_COMMENT_TESTS", "RE_CANDIDATES", "Context", "blacklisting"]
