"""Collection from the tree as a whole, beside the map over its files, continued from cached data where possible."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from collectors.contract import (
    AnyCollector,
    Collector,
    Facts,
    SupportsTreeFacts,
    supports_file_answers,
    supports_saved_state,
    supports_tree_facts,
)
from collectors.engine.file_facts_cache import FileFactsCache
from collectors.source.source_tree import SourceTree

Collect = Callable[[], tuple[Facts, Any]]
"""Returns facts, and what to cache: a state (bytes), answers by path, or None."""


def tree_steps(
    tree: SourceTree, collectors: Sequence[AnyCollector], cache: FileFactsCache | None
) -> Iterable[tuple[Collector, Collect]]:
    """Yield each collector that collects from the tree as a whole, with the function that does it."""
    for collector in collectors:
        if not supports_tree_facts(collector):
            continue
        if cache is not None and supports_saved_state(collector):
            yield collector, partial(collector.collect_incremental, tree, cache.get_states(collector.metric.name))
        elif cache is not None and supports_file_answers(collector):
            known = cache.get_answers(collector.metric.name, collector.answer_schema, tree.entries)
            yield collector, partial(collector.collect_incremental, tree, known)
        else:
            yield collector, partial(_collect_all, collector, tree)


def _collect_all(collector: SupportsTreeFacts, tree: SourceTree) -> tuple[Facts, None]:
    return collector.collect_tree(tree), None


def cache_outcome(collector: Collector, tree: SourceTree, outcome: Any, cache: FileFactsCache | None) -> None:
    """Cache what came with the facts."""
    if cache is None or outcome is None:
        return
    if isinstance(outcome, Mapping) and supports_file_answers(collector):
        cache.put_answers(collector.metric.name, collector.answer_schema, tree.entries, outcome)
    else:
        cache.put_state(collector.metric.name, outcome)
