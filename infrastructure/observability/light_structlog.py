"""Imports structlog without rich, which it would use to draw tracebacks on a terminal.

Import this module before any other that logs, in a short command where each tenth of a second counts.
"""

import importlib
import sys

_RICH = "rich"

if _RICH not in sys.modules:
    sys.modules[_RICH] = None  # type: ignore[assignment] # an import of it fails, as if it were not installed
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules[_RICH]
