"""The `history` of a run: the facts of its commits, with the roles, the health and the imports of its files."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial

from collectors.contract import AnyCollector, supports_imports
from domain.findings.roles import Role
from domain.history.document import FAILED, UNREQUESTED, Tree, history_document, missing_history
from domain.history.facts import HistoryFacts
from domain.metrics.file_tree import FileMetrics, MeasuredFile
from domain.text import JSON


def run_history(
    found: HistoryFacts | str | None,
    collectors: Sequence[AnyCollector],
    files: Mapping[str, MeasuredFile],
    roles: Mapping[str, Role],
    facts_of: Mapping[str, Mapping[str, object]],
    *,
    failed: bool = True,
) -> dict[str, JSON]:
    """Return the document. `found` are the facts of its commits, or why there are none.

    None is for a collector that `failed`, or else was not requested. `facts_of` are the facts of files, by collector
    and path.
    """
    if not isinstance(found, HistoryFacts):
        return missing_history(found or (FAILED if failed else UNREQUESTED))
    metrics = FileMetrics([collector.metric for collector in collectors])
    tree = Tree(
        roles=roles,
        health=lambda path: metrics.of(files[path])["health_without_churn"],
        imports=partial(_imports, collectors, facts_of, tuple(files)),
    )
    return history_document(found, tree)


def _imports(
    collectors: Sequence[AnyCollector],
    facts_of: Mapping[str, Mapping[str, object]],
    paths: Sequence[str],
    importers: Collection[str],
) -> Mapping[str, Collection[str]] | None:
    """Return the files that each of some files imports, as far as a collector knows; None where none has facts."""
    knowing = [each for each in filter(supports_imports, collectors) if each.metric.name in facts_of]
    if not knowing:
        return None
    imports: dict[str, set[str]] = {path: set() for path in importers}
    for collector in knowing:
        for path, imported in collector.imports(facts_of.get(collector.metric.name, {}), importers, paths).items():
            imports[path].update(imported)
    return imports
