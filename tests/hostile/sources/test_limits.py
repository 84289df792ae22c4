"""Limits on the size of a run: lists and paths are capped, and the totals are kept."""

import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from collectors.contract import FileCollector, Totals
from collectors.engine import analysis as engine
from collectors.engine import report_assembly as assembly
from collectors.engine.analysis import Options, analyse
from collectors.engine.pool.process_pool import ProcessPool
from collectors.engine.pool.steps import Step, UnitResult
from collectors.schemas import Schema, counts, single
from collectors.source.source_tree import SourceFile
from domain.errors import InvalidInputError
from domain.findings.severity import FindingSeverity
from domain.metrics.declaration import MetricDeclaration
from domain.metrics.report import ERRORS_LIMIT, FINDINGS_LIMIT, SKIPPED_LIMIT, Analysis, Finding, Report, SkippedFile
from domain.sources import FetchedSource
from infrastructure.sources.tree import writer as tree_writer
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import SourceLimits
from infrastructure.sources.tree.writer import MAX_TOTAL_PATH_CHARACTERS, TreeWriter
from tests.unit.collectors.declare import declare
from tests.unit.collectors.source_trees import PROCESS_CONTROL, load_tree

LIMIT = 3


class VerboseCollector:
    """Collector that reports the given numbers of findings and gaps, all with overlong texts."""

    metric: ClassVar[MetricDeclaration] = declare("verbose", "total")
    needs_syntax: ClassVar[bool] = False
    facts_schema: ClassVar[Schema] = single(counts)

    def __init__(self, *, findings: int = 0, gaps: int = 0) -> None:
        self._findings, self._gaps = findings, gaps

    def inspect(self, file: SourceFile) -> Any:
        return len(file.data)

    def summarize(self, facts: Mapping[str, Any], totals: Totals) -> Report:
        found = [
            Finding(
                metric=self.metric.name,
                rule="T",
                severity=FindingSeverity.LOW,
                path="a.py",
                line=line,
                message="m" * 400,
                function="f" * 400,
                identity="i" * 400,
            )
            for line in range(self._findings)
        ]
        return Report(
            aggregate={"total": len(found)}, findings=found, gaps=[f"gap {n} {'g' * 600}" for n in range(self._gaps)]
        )


@pytest.fixture
def analyse_verbosely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "a.py").write_text("x = 1\n")

    def run(fetched: FetchedSource | None = None, **amounts: int) -> Analysis:
        collectors: Sequence[FileCollector] = [VerboseCollector(**amounts)]
        monkeypatch.setattr(engine, "discover", lambda: collectors)
        return analyse(load_tree(tmp_path), fetched or FetchedSource(has_history=False), Options(processes=1))

    return run


@pytest.mark.parametrize("count", [0, LIMIT - 1, LIMIT, LIMIT + 1, 10 * LIMIT])
def test_findings_are_capped_and_the_total_is_kept(
    analyse_verbosely: Any, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(assembly, "FINDINGS_LIMIT", LIMIT)
    findings = analyse_verbosely(findings=count).findings
    assert findings["total"] == count
    assert [item["line"] for item in findings["items"]] == list(range(min(count, LIMIT)))


@pytest.mark.parametrize("count", [0, LIMIT - 1, LIMIT, LIMIT + 1, 10 * LIMIT])
def test_errors_are_capped_and_the_last_line_counts_the_rest(
    analyse_verbosely: Any, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(assembly, "ERRORS_LIMIT", LIMIT)
    errors = analyse_verbosely(gaps=count).errors
    kept, rest = errors[:LIMIT], errors[LIMIT:]
    assert [line.split(" g")[0] for line in kept] == [f"gap {n}" for n in range(min(count, LIMIT))]
    assert rest == ([f"and {count - LIMIT} more"] if count > LIMIT else [])


@pytest.mark.parametrize("count", [0, LIMIT - 1, LIMIT, LIMIT + 1, 10 * LIMIT])
def test_skipped_files_are_capped_and_the_total_is_kept(
    analyse_verbosely: Any, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(assembly, "SKIPPED_LIMIT", LIMIT)
    skipped = tuple(SkippedFile(path=f"{n}.py", reason="r") for n in range(count))
    fetched = FetchedSource(has_history=False, skipped=skipped, skipped_total=count)
    completeness = analyse_verbosely(fetched).completeness
    assert [item["path"] for item in completeness["skipped"]] == [f"{n}.py" for n in range(min(count, LIMIT))]
    assert completeness["skipped_total"] == count


def test_limits_bound_the_size_of_the_document(analyse_verbosely: Any) -> None:
    skipped = tuple(SkippedFile(path="p" * 1024, reason="r" * 40) for _ in range(SKIPPED_LIMIT))
    fetched = FetchedSource(has_history=False, skipped=skipped, skipped_total=10**6)
    analysis = analyse_verbosely(fetched, findings=FINDINGS_LIMIT + 1, gaps=ERRORS_LIMIT + 1)
    assert analysis.findings["total"] == FINDINGS_LIMIT + 1
    assert len(analysis.findings["items"]) == FINDINGS_LIMIT
    assert len(analysis.errors) == ERRORS_LIMIT + 1
    assert analysis.errors[-1] == "and 1 more"
    assert max(map(len, analysis.errors)) <= 500
    item = analysis.findings["items"][0]
    assert (len(item["message"]), len(item["function"])) == (300, 200)
    assert len(json.dumps([analysis.errors, analysis.completeness])) < 2_000_000


# Names


def test_limit_on_a_path_applies_to_its_displayed_length(layout: SourceLayout) -> None:
    fits, too_long = b"\x01" * 255 + b"/.py", b"\x01" * 255 + b"/a.py"
    with TreeWriter(layout, SourceLimits()) as writer:
        assert writer.accept(fits, 1)
        writer.write(fits, b"#")
        assert not writer.accept(too_long, 1)
        source = writer.finish("tree", None)
    assert [item.reason for item in source.skipped] == ["name too long"]
    assert len(source.skipped[0].path) <= 1024


def test_total_length_of_paths_is_limited(layout: SourceLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_writer, "MAX_TOTAL_PATH_CHARACTERS", 1000)
    with TreeWriter(layout, SourceLimits()) as writer:
        for number in range(100):
            assert writer.accept(b"dir/%03d.py" % number, 1) is True
        with pytest.raises(InvalidInputError, match="file names have more than"):
            writer.accept(b"one more.py", 1)


def test_document_with_the_longest_paths_fits_into_postgresql_and_a_frame() -> None:
    """A node contains its path once more and less than 2 KB besides. JSONB and a frame are limited to 256 MB."""
    files = SourceLimits().max_tree_files
    assert MAX_TOTAL_PATH_CHARACTERS * 2 + files * 2_000 < 256_000_000


# Process pool


class TinyUnit:
    """Unit with so little weight that a process gets hundreds in advance, but with a result of one memory page."""

    weight: ClassVar[float] = 1 / 512
    deadline: ClassVar[float] = 60.0

    def steps(self) -> Iterator[Step]:
        yield "", lambda: "x" * 4096


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Fail after so many seconds: a deadlock of two processes would never end."""

    def fail(*_: object) -> None:
        raise AssertionError("deadlock")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run_pool(units: Sequence[TinyUnit], on_result: Callable[[int, UnitResult], None]) -> None:
    with ProcessPool(units, processes=2, process_control=PROCESS_CONTROL, budget_ms=1e9, on_result=on_result) as pool:
        pool.run(beside=iter(()))


def test_thousands_of_tiny_units_do_not_deadlock_the_pool() -> None:
    results: list[UnitResult] = []
    with time_limit(120):
        run_pool([TinyUnit() for _ in range(5_000)], lambda _, result: results.append(result))
    assert len(results) == 5_000
    assert all(result.values == {"": "x" * 4096} for result in results)


def test_crashed_pool_process_loses_only_the_unit_that_crashed_it() -> None:
    class CrashingUnit(TinyUnit):
        def steps(self) -> Iterator[Step]:
            yield "", lambda: signal.raise_signal(signal.SIGKILL)

    results: dict[int, UnitResult] = {}
    units = [CrashingUnit() if number % 500 == 250 else TinyUnit() for number in range(2_000)]
    with time_limit(120):
        run_pool(units, results.__setitem__)
    lost = {number for number, result in results.items() if result.failures}
    assert len(results) == 2_000
    assert lost == {250, 750, 1_250, 1_750}
