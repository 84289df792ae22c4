"""The parts of `pypi-simple` that are used here, without the rest of the package.

Importing the package imports its client and its parser of HTML, with requests and Beautiful Soup. That takes a tenth
of a second of CPU time, much of a small analysis, so the parts are loaded without it. Where that fails, because another
version of the library is arranged differently, the whole package is imported.
"""

import ast
import importlib
import sys
from collections.abc import Callable
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from threading import Lock
from typing import cast

_PACKAGE = "pypi_simple"
_ENDPOINT = "PYPI_SIMPLE_ENDPOINT"

_loading = Lock()
"""Held while the package in `sys.modules` is one that was not executed."""

ParseFilename = Callable[[str, str], tuple[str, str | None, str]]


@cache
def file_name_parser() -> tuple[ParseFilename, type[Exception]]:
    """Return the function that reads project, version and type from a file's name, and the error that it raises."""
    with _loading:
        spec = None if _PACKAGE in sys.modules else find_spec(_PACKAGE)
        parser = None if spec is None else _parser_alone(spec)
    return parser or _parser_of(_PACKAGE)


def _parser_alone(spec: ModuleSpec) -> tuple[ParseFilename, type[Exception]] | None:
    """Import the module of file names without its package; None where that fails. Nothing stays in `sys.modules`."""
    sys.modules[_PACKAGE] = module_from_spec(spec)  # not executed: it only says where its modules are
    try:
        return _parser_of(f"{_PACKAGE}.filenames")
    except (ImportError, AttributeError):
        return None
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]:
            del sys.modules[name]


def _parser_of(name: str) -> tuple[ParseFilename, type[Exception]]:
    module = importlib.import_module(name)
    return module.parse_filename, module.UnparsableFilenameError


def default_endpoint() -> str:
    """Return the URL of the index that the library uses by default."""
    spec = None if _PACKAGE in sys.modules else find_spec(_PACKAGE)
    found = None if spec is None else _assigned_endpoint(spec)
    return cast("str", getattr(importlib.import_module(_PACKAGE), _ENDPOINT)) if found is None else found


def _assigned_endpoint(spec: ModuleSpec) -> str | None:
    """Return the URL that the package's source assigns to the constant; None where that is no plain text."""
    source = getattr(spec.loader, "get_source", lambda _: None)(_PACKAGE)
    for statement in ast.parse(source or "").body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Constant):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            if _ENDPOINT in names and isinstance(statement.value.value, str):
                return statement.value.value
    return None
