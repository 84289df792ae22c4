"""What one submission can make of a run: lists, names and trees end somewhere, and say what they leave out."""

import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from collectors.contract import FileCollector, Totals
from collectors.engine import analysis as engine
from collectors.engine import report_assembly as assembly
from collectors.engine.analysis import Options, analyse
from collectors.engine.process_pool import ProcessPool
from collectors.engine.steps import Step, UnitResult
from collectors.schemas import Schema, counts, single
from collectors.source.source_tree import SourceFile, load_tree
from domain.errors import InvalidInputError
from domain.metrics.declaration import MetricDeclaration
from domain.metrics.report import ERRORS_LIMIT, FINDINGS_LIMIT, SKIPPED_LIMIT, Analysis, Finding, Report, SkippedFile
from domain.sources import FetchedSource
from infrastructure.sources.tree import writer as tree_writer
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import SourceLimits
from infrastructure.sources.tree.writer import MAX_TOTAL_PATH_CHARACTERS, TreeWriter
from tests.unit.collectors.declare import declare

LIMIT = 3


class Talkative:
    """As many findings and gaps as it is told, all of them hostile in length."""

    metric: ClassVar[MetricDeclaration] = declare("talkative", "total")
    needs_syntax: ClassVar[bool] = False
    facts_schema: ClassVar[Schema] = single(counts)

    def __init__(self, *, findings: int = 0, gaps: int = 0) -> None:
        self._findings, self._gaps = findings, gaps

    def inspect(self, file: SourceFile) -> Any:
        return len(file.data)

    def summarize(self, facts: Mapping[str, Any], totals: Totals) -> Report:
        found = [
            Finding(metric=self.metric.name, rule="T", path="a.py", line=line, message="m" * 400, function="f" * 400)
            for line in range(self._findings)
        ]
        return Report(
            aggregate={"total": len(found)}, findings=found, gaps=[f"gap {n} {'g' * 600}" for n in range(self._gaps)]
        )


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "a.py").write_text("x = 1\n")

    def talk(fetched: FetchedSource | None = None, **amounts: int) -> Analysis:
        collectors: Sequence[FileCollector] = [Talkative(**amounts)]
        monkeypatch.setattr(engine, "discover", lambda: collectors)
        return analyse(load_tree(tmp_path), fetched or FetchedSource(has_history=False), Options(processes=1))

    return talk


@pytest.mark.parametrize("count", [0, LIMIT - 1, LIMIT, LIMIT + 1, 10 * LIMIT])
def test_findings_are_capped_and_the_total_is_kept(talk: Any, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(assembly, "FINDINGS_LIMIT", LIMIT)
    findings = talk(findings=count).findings
    assert findings["total"] == count
    assert [item["line"] for item in findings["items"]] == list(range(min(count, LIMIT)))


@pytest.mark.parametrize("count", [0, LIMIT - 1, LIMIT, LIMIT + 1, 10 * LIMIT])
def test_errors_are_capped_and_the_last_line_counts_the_rest(
    talk: Any, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(assembly, "ERRORS_LIMIT", LIMIT)
    errors = talk(gaps=count).errors
    kept, rest = errors[:LIMIT], errors[LIMIT:]
    assert [line.split(" g")[0] for line in kept] == [f"gap {n}" for n in range(min(count, LIMIT))]
    assert rest == ([f"and {count - LIMIT} more"] if count > LIMIT else [])


@pytest.mark.parametrize("count", [0, LIMIT - 1, LIMIT, LIMIT + 1, 10 * LIMIT])
def test_skipped_files_are_capped_and_the_total_is_kept(talk: Any, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(assembly, "SKIPPED_LIMIT", LIMIT)
    skipped = tuple(SkippedFile(path=f"{n}.py", reason="r") for n in range(count))
    said = talk(FetchedSource(has_history=False, skipped=skipped, skipped_total=count)).completeness
    assert [item["path"] for item in said["skipped"]] == [f"{n}.py" for n in range(min(count, LIMIT))]
    assert said["skipped_total"] == count


def test_limits_bound_the_size_of_the_document(talk: Any) -> None:
    skipped = tuple(SkippedFile(path="p" * 1024, reason="r" * 40) for _ in range(SKIPPED_LIMIT))
    fetched = FetchedSource(has_history=False, skipped=skipped, skipped_total=10**6)
    said = talk(fetched, findings=FINDINGS_LIMIT + 1, gaps=ERRORS_LIMIT + 1)
    assert said.findings["total"] == FINDINGS_LIMIT + 1
    assert len(said.findings["items"]) == FINDINGS_LIMIT
    assert len(said.errors) == ERRORS_LIMIT + 1
    assert said.errors[-1] == "and 1 more"
    assert max(map(len, said.errors)) <= 500
    item = said.findings["items"][0]
    assert (len(item["message"]), len(item["function"])) == (300, 200)
    assert len(json.dumps([said.errors, said.completeness])) < 2_000_000


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
    """A node repeats its path once and holds less than 2 KB beside; PostgreSQL takes 256 MB of JSONB, a frame 512."""
    files = SourceLimits().max_tree_files
    assert MAX_TOTAL_PATH_CHARACTERS * 2 + files * 2_000 < 256_000_000


# Pool processes


class Tiny:
    """Has almost no weight, so that hundreds are queued in advance, and an answer as large as a memory page."""

    weight: ClassVar[float] = 1 / 512
    deadline: ClassVar[float] = 60.0

    def steps(self) -> Iterator[Step]:
        yield "", lambda: "x" * 4096


@contextmanager
def patience(seconds: int) -> Iterator[None]:
    """Fail the test after some seconds: two processes that wait for each other would do so for ever."""

    def give_up(*_: object) -> None:
        raise AssertionError("deadlock")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_thousands_of_tiny_units_do_not_deadlock_the_pool() -> None:
    answers: list[UnitResult] = []
    with patience(120):
        ProcessPool(
            [Tiny() for _ in range(5_000)],
            processes=2,
            budget_ms=1e9,
            on_result=lambda _, result: answers.append(result),
        ).run()
    assert len(answers) == 5_000
    assert all(answer.values == {"": "x" * 4096} for answer in answers)


def test_crashed_pool_process_loses_only_the_unit_that_crashed_it() -> None:
    class Dying(Tiny):
        def steps(self) -> Iterator[Step]:
            yield "", lambda: signal.raise_signal(signal.SIGKILL)

    answers: dict[int, UnitResult] = {}
    units = [Dying() if number % 500 == 250 else Tiny() for number in range(2_000)]
    with patience(120):
        ProcessPool(units, processes=2, budget_ms=1e9, on_result=answers.__setitem__).run()
    lost = {number for number, answer in answers.items() if answer.failures}
    assert len(answers) == 2_000
    assert lost == {250, 750, 1_250, 1_750}
