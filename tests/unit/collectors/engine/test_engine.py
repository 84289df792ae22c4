import ctypes
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from collectors.contract import TREE_PATH, FileCollector, PackageFinder, Totals, TreeCollector
from collectors.engine import analysis as engine
from collectors.engine import units
from collectors.engine.analysis import Options, analyse
from collectors.schemas import Schema, counts, single
from collectors.source.source_tree import SourceFile, SourceTree
from domain.findings.severity import FindingSeverity
from domain.metrics.declaration import FileField, FileMetric, MetricDeclaration
from domain.metrics.report import Analysis, Finding, Report
from domain.sources import FetchedSource
from tests.unit.collectors.declare import declare
from tests.unit.collectors.source_trees import load_tree

FETCHED = FetchedSource(has_history=False)


NAMES = replace(
    declare("names", "total"),
    file_metric=FileMetric(
        key="names",
        fields=(
            FileField(key="count", number="count", meaning="Names."),
            FileField(key="sloc", number=None, meaning="Lines."),
        ),
    ),
)


class Names:
    """A healthy collector: counts the statements of each file."""

    metric: ClassVar[MetricDeclaration] = NAMES
    needs_syntax: ClassVar[bool] = True
    facts_schema: ClassVar[Schema] = single(counts)

    def inspect(self, file: SourceFile) -> Any:
        return len(file.tree.body)

    def summarize(self, facts: Mapping[str, Any], totals: Totals) -> Report:
        low = FindingSeverity.LOW
        findings = [
            Finding(metric=self.metric.name, rule="N", severity=low, path=path, line=1, message="here", identity="N")
            for path in facts
        ]
        return Report(
            aggregate={"total": sum(facts.values())},
            per_file={path: {"count": count} for path, count in facts.items()},
            findings=findings,
        )


class Saboteur(Names):
    """Calls a function on files with `bad` in their path."""

    metric: ClassVar[MetricDeclaration] = declare("saboteur", "total")

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    def inspect(self, file: SourceFile) -> Any:
        if "bad" in file.path:
            self.act()
        return super().inspect(file)


class Whole:
    metric: ClassVar[MetricDeclaration] = declare("whole", "files")

    def __init__(self, act: Callable[[], Any] = lambda: None) -> None:
        self.act = act

    def collect_tree(self, tree: SourceTree) -> Any:
        self.act()
        return len(tree.entries)

    def summarize(self, facts: Any, totals: Totals) -> Report:
        return Report(aggregate={"files": facts})


def write_tree(root: Path, files: Mapping[str, str]) -> SourceTree:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return load_tree(root)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Analysis]:
    def run(
        tree: SourceTree, collectors: Sequence[FileCollector | TreeCollector], options: Options | None = None
    ) -> Analysis:
        monkeypatch.setattr(engine, "discover", lambda: tuple(collectors))
        return analyse(tree, FETCHED, options or Options(processes=2, collector_timeout=20))

    return run


FILES = {"a.py": "x = 1\n", "pkg/bad.py": "y = 2\n", "pkg/c.py": "z = 3\nw = 4\n"}


def node(analysis: Analysis, path: str) -> dict[str, Any]:
    found: dict[str, Any] = dict(analysis.file_tree)
    for part in path.split("/"):
        found = next(child for child in found["children"] if child["name"] == part)
    return found


def test_healthy_collectors_report_every_file(tmp_path: Path, run: Callable[..., Analysis]) -> None:
    analysis = run(write_tree(tmp_path, FILES), [Names(), Whole()])
    assert analysis.metrics == {"names": {"total": 4}, "whole": {"files": 3}}
    assert analysis.completeness["collectors"] == {"names": "ok", "whole": "ok"}
    assert analysis.findings["total"] == 3
    assert [item["path"] for item in analysis.findings["items"]] == ["a.py", "pkg/bad.py", "pkg/c.py"]
    assert analysis.errors == []
    assert set(analysis.tool_versions) == {"python", "own"}


class Declaring(Names):
    """Finds a package for each file; it is the last collector by name."""

    metric: ClassVar[MetricDeclaration] = declare("zz_declaring", "total")

    def __init__(self, act: Callable[[], Any] = lambda: None, broken: str = "") -> None:
        self.act, self.broken = act, broken

    def collect_tree(self, tree: SourceTree) -> Any:
        self.act()
        return "of-tree"

    def summarize(self, facts: Mapping[str, Any], totals: Totals) -> Report:
        return super().summarize({path: fact for path, fact in facts.items() if path != TREE_PATH}, totals)

    def package_finder(self, of_tree: Any, paths: Sequence[str]) -> PackageFinder:
        if self.broken == "tree":
            raise ValueError
        return Finder(f"{of_tree}-of-{len(paths)}", self.broken)


class Finder:
    """Finds a package for each file, and one more at the end; raises at the file `broken`."""

    def __init__(self, prefix: str, broken: str) -> None:
        self._prefix, self._broken, self._files = prefix, broken, 0

    def add(self, path: str, facts: Any) -> list[str]:
        if self._broken == path:
            raise ValueError
        self._files += 1
        return [f"{self._prefix}-{path}-{facts}"]

    def finish(self) -> list[str]:
        return [f"{self._prefix}-all-{self._files}"]


FOUND = ["of-tree-of-3-a.py-1", "of-tree-of-3-all-3", "of-tree-of-3-pkg/bad.py-1", "of-tree-of-3-pkg/c.py-2"]


@pytest.mark.parametrize("processes", [0, 2])
def test_package_names_are_reported_before_the_other_tools_end(
    tmp_path: Path, run: Callable[..., Analysis], processes: int
) -> None:
    names: list[str] = []
    all_reported = tmp_path / "reported"

    def wait() -> None:
        while processes and not all_reported.exists():
            time.sleep(0.01)

    def on_packages(found: Sequence[str]) -> None:
        names.extend(found)
        if len(names) == len(FOUND):
            all_reported.touch()

    options = Options(processes=processes, collector_timeout=20, on_packages=on_packages)
    analysis = run(write_tree(tmp_path / "tree", FILES), [Whole(wait), Declaring()], options)
    assert sorted(names) == FOUND
    assert analysis.metrics == {"whole": {"files": 3}, "zz_declaring": {"total": 4}}


@pytest.mark.parametrize("broken", ["tree", "pkg/c.py"])
def test_error_in_finding_packages_ends_their_reports_only(
    tmp_path: Path, run: Callable[..., Analysis], broken: str
) -> None:
    names: list[str] = []
    options = Options(processes=0, collector_timeout=20, on_packages=names.extend)
    analysis = run(write_tree(tmp_path, FILES), [Declaring(broken=broken)], options)
    assert set(names) < set(FOUND)
    assert analysis.metrics == {"zz_declaring": {"total": 4}}
    assert analysis.errors == []


def test_no_package_names_are_reported_if_the_collector_failed(tmp_path: Path, run: Callable[..., Analysis]) -> None:
    def fail() -> None:
        raise ValueError

    reported: list[Sequence[str]] = []
    options = Options(processes=0, collector_timeout=20, on_packages=reported.append)
    run(write_tree(tmp_path, FILES), [Declaring(fail)], options)
    assert reported == []


def crash() -> None:
    ctypes.string_at(0)


def hang() -> None:
    time.sleep(3600)


def exit_at_once() -> None:
    os._exit(7)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: (_ for _ in ()).throw(MemoryError()), "out of memory"),
        (crash, "crashed (SIGSEGV)"),
        (exit_at_once, "ended with exit code 7"),
        (hang, "no answer within 1 s"),
    ],
)
def test_broken_step_fails_one_file_of_one_collector(
    tmp_path: Path, run: Callable[..., Analysis], act: Callable[[], Any], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "FILE_DEADLINE_SECONDS", 1.0)
    analysis = run(write_tree(tmp_path, FILES), [Names(), Saboteur(act)])
    assert analysis.metrics == {"names": {"total": 4}, "saboteur": {"total": 3}}
    assert analysis.completeness["collectors"] == {"names": "ok", "saboteur": "partial"}
    assert analysis.errors == [f"pkg/bad.py: saboteur skipped: {reason}"]


def test_tree_collector_that_crashes_has_nulls(tmp_path: Path, run: Callable[..., Analysis]) -> None:
    analysis = run(write_tree(tmp_path, FILES), [Names(), Whole(crash)])
    assert analysis.metrics == {"names": {"total": 4}, "whole": {"files": None}}
    assert analysis.completeness["collectors"] == {"names": "ok", "whole": "failed"}
    assert analysis.errors == ["whole collector failed: crashed (SIGSEGV)"]


def test_summary_that_crashes_has_nulls(tmp_path: Path, run: Callable[..., Analysis]) -> None:
    class CrashingSummary(Names):
        metric: ClassVar[MetricDeclaration] = declare("crashing", "total")

        def summarize(self, facts: Mapping[str, Any], totals: Totals) -> Report:
            exit_at_once()
            raise AssertionError

    analysis = run(write_tree(tmp_path, FILES), [Names(), CrashingSummary()])
    assert analysis.metrics == {"names": {"total": 4}, "crashing": {"total": None}}
    assert analysis.errors == ["crashing collector failed: ended with exit code 7"]


def burn() -> None:
    end = time.thread_time() + 0.2
    while time.thread_time() < end:
        pass


def test_collector_that_exceeds_its_time_budget_fails(
    tmp_path: Path, run: Callable[..., Analysis], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CPU_BUDGET_SHARE", 0.01)
    files = {f"bad{index:03}.py": "x = 1\n" + "#" * 300_000 for index in range(6)}
    analysis = run(write_tree(tmp_path, files), [Names(), Saboteur(burn)], Options(processes=1, collector_timeout=30))
    assert analysis.metrics == {"names": {"total": 6}, "saboteur": {"total": None}}
    assert analysis.errors == ["saboteur collector failed: out of time after 0.3 s"]


def test_files_that_do_not_parse_keep_their_node(tmp_path: Path, run: Callable[..., Analysis]) -> None:
    tree = write_tree(tmp_path, {"a.py": "x = 1\n", "broken.py": "print 'x'\n"})
    (tmp_path / "latin.py").write_bytes(b"x = '\xe9'\n")
    (tmp_path / "deep.py").write_text("x = " + "(" * 5000 + ")" * 5000)
    (tmp_path / "nul.py").write_bytes(b"x = 1\0\n")
    analysis = run(load_tree(tree.root), [Names()])
    assert analysis.metrics == {"names": {"total": 1}}
    assert analysis.completeness["analyzed"] == 1
    assert analysis.completeness["collectors"] == {"names": "partial"}
    assert len(analysis.errors) == 4
    for name in ("broken.py", "latin.py", "deep.py", "nul.py"):
        assert node(analysis, name)["parse_error"]
        assert node(analysis, name)["metrics"]["names"]["count"] is None
        assert any(line.startswith(f"{name}: does not parse: ") for line in analysis.errors)
    assert node(analysis, "broken.py")["metrics"]["names"]["sloc"] == 1  # lines need no syntax tree


def test_empty_tree_is_not_a_failure(tmp_path: Path, run: Callable[..., Analysis]) -> None:
    analysis = run(load_tree(tmp_path), [Names()])
    assert analysis.metrics == {"names": {"total": 0}}
    assert analysis.file_tree["children"] == []


def test_tiny_tree_can_be_analysed_in_this_process(
    tmp_path: Path, run: Callable[..., Analysis], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = write_tree(tmp_path, FILES)
    pids: set[int] = set()
    collectors = [Names(), Saboteur(lambda: 1 / 0), Whole(lambda: pids.add(os.getpid()))]
    inside = run(tree, collectors, Options(processes=0))
    assert pids == {os.getpid()}
    outside = run(tree, collectors, Options(processes=1))
    assert replace(inside, timings_ms={}) == replace(outside, timings_ms={})
    assert inside.errors == ["pkg/bad.py: saboteur skipped: ZeroDivisionError: division by zero"]
    pids.clear()
    monkeypatch.setattr(engine, "TINY_FILES", 2)
    assert replace(run(tree, collectors, Options(processes=0)), timings_ms={}) == replace(inside, timings_ms={})
    assert pids == set()


def test_deeply_nested_file_can_be_analysed_in_this_process(tmp_path: Path, run: Callable[..., Analysis]) -> None:
    tree = write_tree(tmp_path, {"deep.py": "x = " + "-" * 2000 + "1\n"})
    before = sys.getrecursionlimit()
    assert run(tree, [Names()], Options(processes=0)).errors == run(tree, [Names()]).errors == []
    assert sys.getrecursionlimit() == before


def test_hostile_file_names_are_escaped(tmp_path: Path, run: Callable[..., Analysis]) -> None:
    (tmp_path / os.fsdecode(b"\xff\x1b[31m.py")).write_text("x = 1\n")
    analysis = run(load_tree(tmp_path), [Names()])
    assert analysis.file_tree["children"][0]["path"] == "\\xff\\x1b[31m.py"
