"""GitPython's command layer, imported without the rest of the library.

Importing the library as a whole takes 0.1 s, and it then starts `git version`. Only its command layer is used here: see
`infrastructure.sources.git.command`.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from git.cmd import Git
    from git.exc import GitCommandNotFound


@contextmanager
def _without_package_code(*names: str) -> Iterator[None]:
    """Let imports in the block find the packages' modules without running what the packages do when imported."""
    added = [name for name in names if name not in sys.modules]
    for name in added:
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            package = ModuleType(name)
            package.__path__ = list(spec.submodule_search_locations)
            sys.modules[name] = package
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)


with _without_package_code("git", "gitdb"):
    _command = importlib.import_module("git.cmd")
    _errors = importlib.import_module("git.exc")

if not TYPE_CHECKING:
    Git, GitCommandNotFound = _command.Git, _errors.GitCommandNotFound

__all__ = ["Git", "GitCommandNotFound"]
