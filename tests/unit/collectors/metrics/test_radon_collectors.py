"""size, cyclomatic and mi on small trees. `tests/parity` compares their numbers with radon's."""

import pytest

from collectors.contract import FileCollector, Totals
from collectors.metrics import cyclomatic, mi, size
from collectors.source.source_tree import SourceFile, UnparsableError
from domain.findings.identity import line_hash
from domain.findings.location_hash import LocationHasher
from domain.findings.severity import FindingSeverity
from domain.metrics.report import Finding, Report


def report(collector: FileCollector, **sources: str) -> Report:
    """Return the report of files that parse."""
    files = [SourceFile(f"{name}.py", text.encode()) for name, text in sorted(sources.items())]
    facts = {file.path: collector.inspect(file) for file in files}
    return collector.summarize(facts, Totals(sloc={file.path: file.line_counts.sloc for file in files}))


def branches(count: int) -> str:
    return "def f(x):\n    pass\n" + "    if x: pass\n" * (count - 1)


@pytest.mark.parametrize("collector", [size.COLLECTOR, cyclomatic.COLLECTOR, mi.COLLECTOR])
def test_size_cyclomatic_and_mi_are_file_collectors_of_radon(collector: FileCollector) -> None:
    assert isinstance(collector, FileCollector)
    assert (collector.metric.tool, collector.metric.version) == ("radon", "6.0.1")
    assert set(report(collector, a="x = 1\n").aggregate) == set(collector.metric.keys)


def test_size() -> None:
    found = report(size.COLLECTOR, a='"""Doc."""\nx = 1\ny = 2\n', b="# c\n", c="x = (\n\n1)\n", d="z\n")
    assert found.aggregate == {"files": 4, "sloc": 5, "avg_file_sloc": 1}
    assert found.per_file == {"a.py": {"sloc": 2}, "b.py": {"sloc": 0}, "c.py": {"sloc": 2}, "d.py": {"sloc": 1}}


def test_file_without_a_line_count_counts_as_a_file() -> None:
    lines = size.COLLECTOR.inspect(SourceFile("a.py", b"x\ny\n"))
    with pytest.raises(UnparsableError):
        size.COLLECTOR.inspect(SourceFile("b.py", b"x = (\n"))
    found = size.COLLECTOR.summarize({"a.py": lines}, Totals(sloc={"a.py": 2, "b.py": None}))
    assert found.aggregate == {"files": 2, "sloc": 2, "avg_file_sloc": 2}
    assert found.per_file == {"a.py": {"sloc": 2}}


def test_size_needs_tokens_but_no_syntax() -> None:
    assert size.COLLECTOR.inspect(SourceFile("a.py", b"print 'x'\n\n# c\n"))["sloc"] == 1


def test_cyclomatic() -> None:
    found = report(cyclomatic.COLLECTOR, a=branches(4) + branches(1), b=branches(7), c="x = 1\n")
    assert found.aggregate == {"avg_cc": 4.0, "complexity_score": 80.0, "functions": 3, "complex_functions": 0}
    assert found.per_file == {
        "a.py": {"max": 4, "avg": 2.5, "functions": 2, "sum": 5, "complex": 0},
        "b.py": {"max": 7, "avg": 7.0, "functions": 1, "sum": 7, "complex": 0},
        "c.py": {"max": 0, "avg": 0.0, "functions": 0, "sum": 0, "complex": 0},
    }
    assert not found.findings


def test_cyclomatic_without_a_function() -> None:
    expected = {"avg_cc": 0.0, "complexity_score": 100.0, "functions": 0, "complex_functions": 0}
    assert report(cyclomatic.COLLECTOR, a="x = 1\n").aggregate == expected


def test_cyclomatic_score_does_not_go_below_zero() -> None:
    found = report(cyclomatic.COLLECTOR, a=branches(30)).aggregate
    assert (found["avg_cc"], found["complexity_score"]) == (30.0, 0.0)


def test_functions_above_10_are_counted() -> None:
    found = report(cyclomatic.COLLECTOR, a=branches(10) + branches(11), b=branches(12) + branches(1)).aggregate
    assert (found["functions"], found["complex_functions"]) == (4, 2)


@pytest.mark.parametrize(
    ("complexity", "rank", "severity"),
    [
        (11, "C", "low"),
        (20, "C", "low"),
        (21, "D", "medium"),
        (30, "D", "medium"),
        (31, "E", "high"),
        (40, "E", "high"),
        (41, "F", "high"),
        (90, "F", "high"),
    ],
)
def test_cyclomatic_finding(complexity: int, rank: str, severity: str) -> None:
    text = "class C:\n  def m(self):\n" + "    if self: pass\n" * (complexity - 1)
    found = report(cyclomatic.COLLECTOR, a=text)
    assert found.findings == [
        Finding(
            metric="cyclomatic",
            rule=f"CC-{rank}",
            severity=FindingSeverity(severity),
            path="a.py",
            line=2,
            column=3,
            end_line=complexity + 1,
            identity="C.m",
            line_hash=line_hash(b"def m(self):"),
            location_hash=LocationHasher(text.encode()).at(2),
            message=f"cyclomatic complexity {complexity}",
            function="C.m",
        )
    ]


def test_complexity_of_10_is_no_finding() -> None:
    assert not report(cyclomatic.COLLECTOR, a=branches(10)).findings


def test_mi() -> None:
    found = report(mi.COLLECTOR, a="", b="x = 1\n", c="x = 1 + y\n" * 50)
    values = {path: row["value"] for path, row in found.per_file.items()}
    assert values["a.py"] == values["b.py"] == 100.0
    assert 0 < values["c.py"] < 100
    assert found.aggregate == {"mi_avg": pytest.approx((200 + values["c.py"]) / 3)}


def test_mi_rises_with_comments_and_docstrings() -> None:
    bare, commented, documented = (
        report(mi.COLLECTOR, a=extra + "x = 1 + y\n" * 50).aggregate["mi_avg"]
        for extra in ("", "# c\n" * 10, '"""' + "d\n" * 10 + '"""\n')
    )
    assert bare < commented < documented


@pytest.mark.parametrize("collector", [cyclomatic.COLLECTOR, mi.COLLECTOR])
def test_numbers_are_null_where_no_file_parses(collector: FileCollector) -> None:
    found = collector.summarize({}, Totals(sloc={"a.py": None}))
    assert found.aggregate == dict.fromkeys(collector.metric.keys)
    assert len(found.gaps) == 1


def test_a_tree_without_files() -> None:
    nothing = Totals(sloc={})
    assert size.COLLECTOR.summarize({}, nothing).aggregate == {"files": 0, "sloc": 0, "avg_file_sloc": 0}
    assert cyclomatic.COLLECTOR.summarize({}, nothing).aggregate == {
        "avg_cc": 0.0, "complexity_score": 100.0, "functions": 0, "complex_functions": 0
    }  # fmt: skip
    assert mi.COLLECTOR.summarize({}, nothing).aggregate == {"mi_avg": 100.0}
