"""docs on small examples. `tests/parity` compares it with docstr-coverage's command line."""

import pytest

from collectors.contract import FileCollector, Totals
from collectors.metrics.docs import COLLECTOR
from collectors.source.source_tree import SourceFile
from domain.findings.identity import line_hash
from domain.metrics.report import Finding, Report

DOC = '"""Doc."""\n'


def inspect(text: str) -> tuple[int, list[str | None]]:
    facts = COLLECTOR.inspect(SourceFile("a.py", text.encode()))
    return facts["needed"], [name for name, *_ in facts["missing"]]


def report(**sources: str) -> Report:
    facts = {f"{name}.py": COLLECTOR.inspect(SourceFile(f"{name}.py", text.encode())) for name, text in sources.items()}
    return COLLECTOR.summarize(facts, Totals(sloc=dict.fromkeys(facts, 1)))


def test_docs_is_a_file_collector() -> None:
    assert isinstance(COLLECTOR, FileCollector)
    assert (COLLECTOR.metric.tool, COLLECTOR.metric.version) == ("docstr-coverage", "2.3.2")


def test_every_module_class_and_function_needs_a_docstring() -> None:
    assert inspect("x = 1\n") == (1, [None])
    assert inspect(DOC + "class C:\n  def __init__(self):\n    def _g(): pass\n  async def m(self): pass\n") == (
        5,
        ["C", "C.__init__", "C.__init__._g", "C.m"],
    )


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n"])
def test_empty_module_needs_no_docstring(text: str) -> None:
    assert inspect(text) == (0, [])


@pytest.mark.parametrize(
    "body",
    [
        "if x:",
        "for x in y:",
        "while x:",
        "with x:",
        "try: pass\nexcept x:",
        "try: pass\nexcept* x:",
        "match x:\n case 1:",
    ],
)
def test_definitions_are_found_in_every_block(body: str) -> None:
    assert inspect(f"{DOC}{body}\n   def f(): pass\n") == (2, ["f"])


@pytest.mark.parametrize("docstring", ["'x'", "r'x'", "('x')", "'x' 'y'", "'''\n x\n'''"])
def test_string_statement_is_a_docstring(docstring: str) -> None:
    assert inspect(f"{DOC}def f():\n {docstring}\n") == (2, [])


@pytest.mark.parametrize("statement", ["''", "'  \\n\\t'", "b'x'", "f'x'", "'x'.y", "x = 'x'", "1", "..."])
def test_other_statement_is_not_a_docstring(statement: str) -> None:
    assert inspect(f"{DOC}def f():\n {statement}\n") == (2, ["f"])


def test_setters_and_deleters_need_no_docstring() -> None:
    source = DOC + "@property\ndef a(): pass\n@a.setter\ndef b(): pass\n@x.y.deleter\ndef c():\n  def d(): pass\n"
    assert inspect(source) == (3, ["a", "c.d"])
    assert inspect(DOC + "@property\n@a.setter\ndef a(): pass\n@a.setter\n@property\ndef b(): pass\n") == (2, ["a"])


@pytest.mark.parametrize(
    ("comment", "excused"),
    [
        ("# docstr-coverage: inherited", True),
        ("#docstr-coverage:inherit", True),
        ("# docstr-coverage: excused `reason`", True),
        ("# docstr-coverage: excused", False),
        ("# docstr-coverage: other", False),
        ("# docstr-coverage: inherited\n# and more", False),
        ("# docstr-coverage: inherited\n\n@x\n@y(\n)\n", False),
        ("# docstr-coverage: inherited\n\n@x\n@y()", True),
        ("x = 1  # docstr-coverage: inherited", True),
        ("'# docstr-coverage: inherited'", False),
    ],
)
def test_comment_excuses_the_definition_below(comment: str, excused: bool) -> None:
    missing = [] if excused else ["f"]
    assert inspect(f"{DOC}pass\n{comment}\ndef f(): pass\n") == (2, missing)


def test_coverage_and_findings() -> None:
    found = report(a=DOC + "class C:\n  def m(self): pass\n", b="", c="x\n")
    assert found.aggregate == {"coverage_pct": 25.0}
    assert found.per_file == {
        "a.py": {"coverage_pct": pytest.approx(100 / 3), "needed": 3, "missing": 2},
        "b.py": {"coverage_pct": 100.0, "needed": 0, "missing": 0},
        "c.py": {"coverage_pct": 0.0, "needed": 1, "missing": 1},
    }
    assert [(item.path, item.line, item.function, item.message) for item in found.findings] == [
        ("a.py", 2, "C", "missing docstring of C"),
        ("a.py", 3, "C.m", "missing docstring of C.m"),
        ("c.py", 1, None, "missing module docstring"),
    ]
    assert {(item.metric, item.rule) for item in found.findings} == {("docs", "missing-docstring")}
    assert isinstance(found.findings[0], Finding)
    assert [item.identity for item in found.findings] == ["C", "C.m", "<module>"]
    assert {item.severity for item in found.findings} == {"info"}
    assert [item.line_hash for item in found.findings] == [
        line_hash(line) for line in (b"class C:", b"def m(self): pass", b"x")
    ]


def test_coverage_is_100_where_nothing_is_needed() -> None:
    assert report(a="").aggregate == {"coverage_pct": 100.0}
    assert COLLECTOR.summarize({}, Totals(sloc={})).aggregate == {"coverage_pct": 100.0}


def test_numbers_are_null_where_no_file_parses() -> None:
    found = COLLECTOR.summarize({}, Totals(sloc={"a.py": None}))
    assert found.aggregate == {"coverage_pct": None}
    assert len(found.gaps) == 1


def test_many_definitions_take_linear_time() -> None:
    # The tool searches all tokens for each definition's line, which takes hours for this file.
    text = DOC + "# docstr-coverage: inherited\ndef f(): pass\n" * 30_000 + "def g(): pass\n" * 30_000
    assert len(inspect(text)[1]) == 30_000


def test_long_decorator_line_takes_linear_time() -> None:
    line = "# docstr-coverage: inherited\n@d(" + "0," * 100_000 + ")\ndef f(): pass\n"
    assert inspect(DOC + line) == (2, [])
