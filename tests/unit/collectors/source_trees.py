"""Source trees with the process control of this system, for tests of collectors."""

from pathlib import Path

from collectors.source import source_tree
from collectors.source.source_tree import SourceTree
from domain.ports import History
from infrastructure.child_process.process_control import SystemProcessControl

PROCESS_CONTROL = SystemProcessControl()


def load_tree(root: Path, *, manifests: Path | None = None, history: History | None = None) -> SourceTree:
    """Load a tree as the worker does."""
    return source_tree.load_tree(root, process_control=PROCESS_CONTROL, manifests=manifests, history=history)
