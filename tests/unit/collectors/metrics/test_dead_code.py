"""dead_code on small examples. `tests/parity` compares it with vulture's command line."""

import ast
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

import msgpack
import pytest

from collectors.contract import FileCollector, Totals
from collectors.metrics.dead_code import COLLECTOR, whitelisted, whitelists
from collectors.source.source_tree import SourceFile
from collectors.source.syntax_walk import walk_syntax_tree
from collectors.tools.vulture_visitor import VultureVisitor
from domain.metrics.report import Report

T = TypeVar("T")


def report_on(**sources: str) -> Report:
    """Return the report of a tree; the keyword `pkg__mod` stands for `pkg/mod.py`."""
    return report_on_paths({name.replace("__", "/") + ".py": text for name, text in sources.items()})


def report_on_paths(sources: dict[str, str]) -> Report:
    facts = {}
    for path, text in sorted(sources.items()):
        found = COLLECTOR.inspect(SourceFile(path, text.encode()))
        facts[path] = msgpack.unpackb(msgpack.packb(found))
    return COLLECTOR.summarize(facts, Totals(sloc=dict.fromkeys(facts, 1)))


def findings_of(report: Report) -> list[tuple[str, int, str, str]]:
    return [(item.path, item.line, item.rule, item.message) for item in report.findings]


def test_dead_code_is_a_file_collector() -> None:
    assert isinstance(COLLECTOR, FileCollector)


def test_each_kind_of_definition_has_its_rule() -> None:
    report = report_on(
        app="import os\n"
        "class Alone:\n"
        "    def method(self): pass\n"
        "    @property\n"
        "    def prop(self): self.attribute = 1\n"
        "def function(argument): pass\n"
        "variable = 1\n"
        "def after():\n"
        "    return 1\n"
        "    print()\n"
    )
    assert findings_of(report) == [
        ("app.py", 1, "unused-import", "unused import 'os' (90% confidence)"),
        ("app.py", 2, "unused-class", "unused class 'Alone' (60% confidence)"),
        ("app.py", 3, "unused-method", "unused method 'method' (60% confidence)"),
        ("app.py", 4, "unused-property", "unused property 'prop' (60% confidence)"),
        ("app.py", 5, "unused-attribute", "unused attribute 'attribute' (60% confidence)"),
        ("app.py", 6, "unused-variable", "unused variable 'argument' (100% confidence)"),
        ("app.py", 6, "unused-function", "unused function 'function' (60% confidence)"),
        ("app.py", 7, "unused-variable", "unused variable 'variable' (60% confidence)"),
        ("app.py", 8, "unused-function", "unused function 'after' (60% confidence)"),
        ("app.py", 10, "unreachable-code", "unreachable code after 'return' (100% confidence)"),
    ]
    assert report.aggregate == {"unused_symbols": 10, "suppressed": 0}
    assert report.per_file == {"app.py": {"count": 10, "suppressed": 0}}


def test_name_used_in_another_file_is_used() -> None:
    report = report_on(lib="def helper(): pass\ndef lonely(): pass\n", main="from lib import helper\nhelper()\n")
    assert [item.message for item in report.findings] == ["unused function 'lonely' (60% confidence)"]
    assert report.per_file == {
        "lib.py": {"count": 1, "suppressed": 0},
        "main.py": {"count": 0, "suppressed": 0},
    }


def test_finding_names_its_enclosing_scope() -> None:
    report = report_on(app="class A:\n    def m(self, unused): pass\nprint(A)\nflag = 1\n")
    assert [(item.line, item.function) for item in report.findings] == [(2, "A.m"), (2, "A.m"), (4, None)]


def test_name_is_counted_once_per_line_and_type() -> None:
    report = report_on(app="first = first = 1\n")
    assert report.aggregate["unused_symbols"] == 1


def test_definitions_hidden_by_noqa_are_counted_as_suppressed() -> None:
    report = report_on(
        a="import os  # noqa: F401\nimport re  # noqa: E501\n",
        b="def gone(): pass  # noqa\ndef kept(): pass  # noqa\nkept()\nx = 1  # noqa: V107\ny = 1  # NOQA: F841\n",
    )
    assert findings_of(report) == [("a.py", 2, "unused-import", "unused import 're' (90% confidence)")]
    assert report.aggregate == {"unused_symbols": 1, "suppressed": 4}
    assert report.per_file["a.py"] == {"count": 1, "suppressed": 1}
    assert report.per_file["b.py"] == {"count": 0, "suppressed": 3}


def test_noqa_counts_lines_as_vulture_does() -> None:
    # A form feed ends a line for vulture's comment search, though not for the parser.
    report = report_on(app="x = 1\x0c\ny = 1  # noqa\n")
    assert [item.message for item in report.findings] == [
        "unused variable 'x' (60% confidence)",
        "unused variable 'y' (60% confidence)",
    ]


def test_test_files_are_recognised_by_their_path() -> None:
    code = "def test_it(): pass\nclass TestThat:\n    def setup_method(self): pass\n"
    report = report_on_paths({"tests/check.py": code, "check.py": code, "test_check.py": code})
    assert [item.path for item in report.findings] == ["check.py"] * 3


def test_imports_in_an_init_file_are_ignored() -> None:
    assert report_on_paths({"pkg/__init__.py": "from pkg.a import x\n"}).aggregate["unused_symbols"] == 0
    assert report_on_paths({"pkg/init.py": "from pkg.a import x\n"}).aggregate["unused_symbols"] == 1


HANDLER = "class H:\n    def emit(self): pass\nprint(H)\n"


def test_whitelist_applies_when_any_file_imports_its_module() -> None:
    assert report_on(h=HANDLER).aggregate["unused_symbols"] == 1
    assert report_on(h=HANDLER, other="import logging\nlogging.info\n").aggregate["unused_symbols"] == 0


def test_import_hidden_by_noqa_does_not_apply_the_whitelist() -> None:
    assert report_on(h=HANDLER, other="import logging  # noqa\n").aggregate == {"unused_symbols": 1, "suppressed": 1}


def test_every_whitelist_has_names() -> None:
    # vulture reports unused names in its whitelists too, but only files of the tree count here. While every name of a
    # whitelist is used, the numbers are equal.
    assert {"argparse", "logging", "unittest"} <= whitelists()
    for module in whitelists():
        assert whitelisted(module)
    assert "visit_Name" in whitelisted("ast")


def test_type_comments_are_read() -> None:
    report = report_on(app="from typing import List\nx = []  # type: List[int]\nprint(x)\n")
    assert report.aggregate["unused_symbols"] == 0
    assert report.gaps == []


def test_file_with_a_misplaced_type_comment_is_skipped() -> None:
    report = report_on(app="print(1,  # type: int\n)\nx = 1\n", lib="y = 1\n")
    assert report.per_file == {"lib.py": {"count": 1, "suppressed": 0}}
    assert len(report.gaps) == 1
    assert report.gaps[0].startswith("app.py: dead_code skipped: vulture cannot parse its type comments: ")


def test_type_comment_that_is_no_expression_stops_the_file_there() -> None:
    report = report_on(app="x = 1\ny = 1  # type: see below\nz = 1\n")
    assert [item.line for item in report.findings] == [1, 2]
    assert report.gaps[0].startswith("app.py: dead_code incomplete: ")


@pytest.mark.parametrize("comment", ["# type: ignore", "#type:ignore[attr]", "#  type:\tignore # why"])
def test_ignore_comments_need_no_second_parse(comment: str) -> None:
    file = SourceFile("a.py", f"print(1,  {comment}\n)\nx = 1  {comment}\n".encode())
    assert [row[1] for row in COLLECTOR.inspect(file)["candidates"]] == ["x"]


def test_strings_that_are_no_identifiers_are_not_in_the_facts() -> None:
    facts = COLLECTOR.inspect(SourceFile("a.py", b'getattr(x, "\\ud800")\ngetattr(x, "good")\n'))
    assert facts["used"] == ["getattr", "good", "x"]


def test_long_class_name_does_not_inflate_the_facts() -> None:
    code = f"class {'A' * 100_000}:\n" + "".join(f" def f{number}(self): pass\n" for number in range(100))
    facts = COLLECTOR.inspect(SourceFile("a.py", code.encode()))
    assert len(msgpack.packb(facts)) < 200_000


def on_a_deep_stack(work: Callable[[], T]) -> T:
    answer: list[T] = []
    size, limit = threading.stack_size(512 * 1024 * 1024), sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        thread = threading.Thread(target=lambda: answer.append(work()))
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(size)
    return answer[0]


@pytest.mark.parametrize(
    ("code", "unused"),
    [
        ("x = " + "1 + " * 2900 + "1\n", 1),
        ("if a: pass\n" + "elif b: pass\n" * 900, 0),
        ("x = " + "not " * 2000 + "y\n", 1),
        ("while " + "not " * 2000 + "y: pass\n", 0),
    ],
)
def test_deeply_nested_code_is_inspected(code: str, unused: int) -> None:
    facts = on_a_deep_stack(lambda: COLLECTOR.inspect(SourceFile("deep.py", code.encode())))
    assert len(facts["candidates"]) == unused


def test_walk_is_not_recursive() -> None:
    node: ast.expr = ast.Name(id="used", ctx=ast.Load())
    for _ in range(50_000):
        node = ast.UnaryOp(op=ast.Invert(), operand=node)
    tree = ast.Module(body=[ast.Expr(value=node)], type_ignores=[])
    assert VultureVisitor("/src/a.py", "").collect(walk_syntax_tree(tree)).used == {"used"}
    assert VultureVisitor("/src/a.py", "").collect_with_type_comments(tree).used == {"used"}
