"""Collection from the tree as a whole, beside the map over its files, continued from cached data where possible."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from collectors.contract import (
    AnyCollector,
    Collector,
    Facts,
    SupportsFileAnswers,
    SupportsTreeFacts,
    supports_file_answers,
    supports_many_trees,
    supports_saved_state,
    supports_tree_facts,
)
from collectors.engine.file_facts_cache import FileFactsCache
from collectors.source.source_tree import SourceTree
from collectors.tools.tool_launcher import supervisor_kills_descendants

Answers = Mapping[str, Mapping[str, Facts]]
"""Answers of tools about a tree's files: by collector and path."""

Collect = Callable[[], tuple[Facts, Any]]
"""Returns facts, and what to cache: a state (bytes), answers by path, or None."""


def tree_steps(
    tree: SourceTree, collectors: Sequence[AnyCollector], cache: FileFactsCache | None, answers: Answers
) -> Iterable[tuple[Collector, Collect]]:
    """Yield each collector that collects from the tree as a whole, with the function that does it.

    `answers` are those that are known already; without any, and without a cache, the tool runs over the whole tree.
    """
    for collector in collectors:
        if not supports_tree_facts(collector):
            continue
        if supports_file_answers(collector) and answers.get(collector.metric.name):
            yield collector, partial(collector.collect_incremental, tree, answers[collector.metric.name])
        elif cache is not None and supports_saved_state(collector):
            yield collector, partial(collector.collect_incremental, tree, cache.get_states(collector.metric.name))
        elif cache is not None and supports_file_answers(collector):
            yield collector, partial(_collect_unanswered, collector, tree, cache)
        else:
            yield collector, partial(_collect_all, collector, tree)


def answer_trees(trees: Sequence[SourceTree], collectors: Sequence[AnyCollector]) -> Sequence[Answers]:
    """Run the tools that can answer for several trees once for all of them, and return the answers for each tree.

    A tool is not asked about trees for which its collector is not requested. Raises no error of a tool: its answers are
    missing then, and it runs for each tree alone.
    """
    found: list[dict[str, Mapping[str, Facts]]] = [{} for _ in trees]
    for collector in filter(supports_many_trees, collectors):
        name = collector.metric.name
        asked = [index for index, tree in enumerate(trees) if tree.selection.requests(name)]
        with suppress(Exception), supervisor_kills_descendants():
            for index, of_tree in zip(asked, collector.answer_trees([trees[each] for each in asked]), strict=True):
                found[index][name] = of_tree
    return found


def _collect_unanswered(
    collector: SupportsFileAnswers, tree: SourceTree, cache: FileFactsCache
) -> tuple[Facts, Mapping[str, Facts]]:
    known = cache.get_answers(collector.metric.name, collector.answer_schema, tree.entries)
    return collector.collect_incremental(tree, known)


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
