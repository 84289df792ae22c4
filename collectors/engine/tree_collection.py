"""What is asked of a tree as a whole, beside the map over its files, as far as it is not remembered."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from collectors.contract import Facts, FileCollector, TreeCollector, is_by_file
from collectors.engine.file_facts import Memory
from collectors.source.source_tree import SourceTree

AnyCollector = FileCollector | TreeCollector
Asked = Callable[[], tuple[Facts, Any]]
"""Answers facts, and what to remember of them: a state in bytes, answers by path, or None."""


def questions(
    tree: SourceTree, collectors: Sequence[AnyCollector], memory: Memory | None
) -> Iterable[tuple[AnyCollector, Asked]]:
    """Each collector that has something to ask of the tree, with how it asks."""
    for collector in collectors:
        whole = getattr(collector, "survey" if is_by_file(collector) else "collect", None)
        if whole is None:
            continue
        if memory is not None and hasattr(collector, "resume"):
            yield collector, partial(collector.resume, tree, memory.states(collector.name))
        elif memory is not None and hasattr(collector, "consult"):
            known = memory.recall_answers(collector, tree.entries)
            yield collector, partial(collector.consult, tree, known)
        else:
            yield collector, partial(_forgetfully, whole, tree)


def _forgetfully(whole: Callable[[SourceTree], Facts], tree: SourceTree) -> tuple[Facts, None]:
    return whole(tree), None


def remember(collector: AnyCollector, tree: SourceTree, kept: Any, memory: Memory | None) -> None:
    """Put away what came with the facts."""
    if memory is None or kept is None:
        return
    if isinstance(kept, Mapping):
        memory.learn_answers(collector, tree.entries, kept)
    else:
        memory.leave(collector.name, kept)
