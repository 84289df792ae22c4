"""The collectors in this process, on the stack of a pool process, so that their unexpected errors fail the test."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from collectors.contract import TREE_PATH, FileCollector, supports_tree_facts
from collectors.engine.discovery import discover
from collectors.engine.file_facts_cache import FILE_STEP_SCHEMA, pack, unpack
from collectors.engine.pool.pool_process import encode_message, take_messages
from collectors.engine.pool.steps import FILE_STEP, UnitResult, run_on_deep_stack
from collectors.engine.report_assembly import CollectedFacts, Outcome, Summaries, assemble
from collectors.engine.summaries import Summary
from collectors.engine.units import FileUnit
from collectors.schemas import nullable
from collectors.source.source_tree import FileEntry, SourceTree
from domain.metrics.report import Analysis, Failed, Ok
from domain.sources import FetchedSource
from tests.fixtures.checks.result_documents import check_analysis
from tests.fuzz.generators import count_outcome
from tests.hostile.support.naughty_strings import assert_harmless
from tests.unit.collectors.source_trees import load_tree

COLLECTORS = discover()
BY_FILE = [collector for collector in COLLECTORS if isinstance(collector, FileCollector)]
SCHEMAS = {
    FILE_STEP: FILE_STEP_SCHEMA,
    **{collector.metric.name: nullable(collector.facts_schema) for collector in BY_FILE},
}
FETCHED = FetchedSource(has_history=False)


def collect(root: Path, surface: str) -> Analysis:
    """Run all collectors over the tree and check the result. Raises unexpected errors of a collector."""
    results: list[Analysis] = []
    run_on_deep_stack(lambda: results.append(_collect(load_tree(root), surface)))
    (analysis,) = results
    assert_valid(analysis)
    assert analysis.completeness["files"] == sum(path.is_file() for path in root.rglob("*"))
    return analysis


def assert_valid(analysis: Analysis) -> None:
    """Assert that the result is valid by its schema, can be stored as JSON and contains only harmless text."""
    check_analysis(analysis.document())
    document = asdict(analysis)
    json.dumps(document, allow_nan=False).encode()
    assert_harmless(document)
    assert all(len(line.splitlines()) == 1 for line in analysis.errors)


def _collect(tree: SourceTree, surface: str) -> Analysis:
    collected = CollectedFacts(paths=tuple(entry.path for entry in tree.entries))
    for entry in tree.entries:
        collected.add(entry.path, inspect(entry, surface))
    return summarize(tree, collected)


def summarize(tree: SourceTree, collected: CollectedFacts) -> Analysis:
    """Run the collectors that need the whole tree, summarize all, and assemble the result."""
    for collector in COLLECTORS:
        if supports_tree_facts(collector):
            collected.add(
                TREE_PATH, UnitResult(values={collector.metric.name: _transfer(collector.collect_tree(tree))})
            )
    summaries = Summaries(collected, {entry.path: entry.location for entry in tree.entries})
    outcomes: dict[str, Outcome] = {}
    for collector in COLLECTORS:
        failure = collected.failure_of(collector)
        if failure is None:
            _, step = summaries.step(collector)
            plain = _transfer(step())
            outcomes[collector.metric.name] = Ok(value=Summary.from_plain(plain, ()))
        else:
            outcomes[collector.metric.name] = Failed(reason=failure)
    return assemble(tree, FETCHED, COLLECTORS, collected, outcomes, {})


def inspect(entry: FileEntry, surface: str) -> UnitResult:
    """Return what a pool process answers about the file. Raises unexpected errors."""
    result = UnitResult()
    for name, step in FileUnit(entry, BY_FILE, timeout=60).steps():
        try:
            result.values[name] = _transfer(step())
        except (RecursionError, MemoryError) as error:
            result.failures[name] = type(error).__name__
            count_outcome(surface, f"files too deep for {name or 'the parser'}")
        except Exception as error:
            error.add_note(f"by {name or 'reading and parsing'}, of:\n{entry.location.read_bytes()[:5000]!r}")
            raise
    if not result.failures:
        assert unpack(pack(result.values), SCHEMAS) == result.values  # facts of an analysis are valid as cached facts
    parse_error = result.values[FILE_STEP][0] if FILE_STEP in result.values else "none"
    count_outcome(surface, "files that do not parse" if parse_error else "files that parse")
    return result


def _transfer(value: Any) -> Any:
    """Return the value as it arrives from a pool process."""
    (carried,) = take_messages(bytearray(encode_message(value)))
    return carried
