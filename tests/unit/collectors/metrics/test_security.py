import ast
import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collectors.contract import FileCollector, Totals
from collectors.metrics.security import COLLECTOR
from collectors.source.source_tree import SourceFile
from collectors.source.syntax_walk import SyntaxNodes
from collectors.tools import bandit_driver
from collectors.tools.bandit_driver import BanditResult, called_name, line_range, nosec_lines, run_bandit
from collectors.tools.bandit_rules import CALL_PREFILTERS, RULES, RULES_USING_PARENTS, Rule
from collectors.tools.bandit_strings import PASSWORD_RULE_ID, SQL_RULE_ID, VALUE_PREFILTERS
from domain.findings.identity import line_hash
from domain.findings.location_hash import LocationHasher
from domain.findings.severity import FindingSeverity
from domain.metrics.report import MESSAGE_LIMIT, Finding, Report
from tests.parity.support.comparison import copy_python

FIXTURES = Path(__file__).parents[3] / "parity" / "fixtures" / "bandit"
PACKAGES = Path(sysconfig.get_path("purelib"))


def source(text: str, path: str = "a.py") -> SourceFile:
    return SourceFile(path, text.encode())


def inspect(text: str) -> Any:
    return COLLECTOR.inspect(source(text))


def summarize(**texts: str) -> Report:
    files = {f"{name}.py": source(text, f"{name}.py") for name, text in sorted(texts.items())}
    parsed = {path: file for path, file in files.items() if file.parse_error is None}
    totals = Totals(sloc={path: 1 if path in parsed else None for path in files})
    return COLLECTOR.summarize({path: COLLECTOR.inspect(file) for path, file in parsed.items()}, totals)


def on_a_deep_stack(function: Callable[[], Any]) -> Any:
    """Call the function as a pool process does: with half a gigabyte of stack and a raised recursion limit."""
    results: list[Any] = []
    size, limit = threading.stack_size(512 * 1024 * 1024), sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(100_000)
        thread = threading.Thread(target=lambda: results.append(function()))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(size)
        sys.setrecursionlimit(limit)
    return results[0]


def test_security_is_a_file_collector_that_needs_syntax() -> None:
    assert isinstance(COLLECTOR, FileCollector)
    assert COLLECTOR.needs_syntax


def test_finding_has_rule_place_and_severity() -> None:
    text = "import os\n\nclass A:\n    def f(self):\n        os.system(self.x)\n"
    report = summarize(a=text)
    assert report.findings == [
        Finding(
            metric="security",
            rule="B605",
            severity=FindingSeverity.HIGH,
            path="a.py",
            line=5,
            column=9,
            end_line=5,
            end_column=26,
            function="A.f",
            identity=line_hash(b"os.system(self.x)"),
            line_hash=line_hash(b"os.system(self.x)"),
            location_hash=LocationHasher(text.encode()).at(5),
            message="Starting a process with a shell, possible injection detected, security issue. (high severity)",
        )
    ]
    assert report.per_file == {"a.py": {"high": 1, "medium": 0, "low": 0, "suppressed": 0}}
    assert report.aggregate == {"high": 1, "medium": 0, "low": 0, "suppressed": 0, "security_score": 90.0}


def test_sums_and_score_over_files() -> None:
    report = summarize(a="import pickle\nexec(x)\nassert x # nosec\n", b="assert x\nassert y\n", c="", d="def")
    assert report.aggregate == {"high": 0, "medium": 1, "low": 3, "suppressed": 1, "security_score": 92.0}
    assert report.per_file["b.py"] == {"high": 0, "medium": 0, "low": 2, "suppressed": 0}
    assert report.per_file["c.py"] == {"high": 0, "medium": 0, "low": 0, "suppressed": 0}
    assert "d.py" not in report.per_file
    assert report.gaps == []


def test_score_is_100_without_findings_and_null_where_no_file_parses() -> None:
    assert summarize(a="x = 1\n").aggregate["security_score"] == 100.0
    report = summarize(a="def")
    assert report.aggregate == dict.fromkeys(COLLECTOR.metric.keys)
    assert report.gaps == ["security: no file parses"]


def test_severity_is_readable_after_a_long_quoted_string() -> None:
    (finding,) = summarize(a=f"password = '{'x' * 10_000}'\n").findings
    assert len(finding.message) <= 500
    assert finding.message.endswith("… (low severity)")


def test_bandit_test_that_raises_is_a_gap() -> None:
    report = summarize(a="import tarfile\nx.extractall(members=self.check(x))\nassert x\n")
    assert report.per_file["a.py"]["low"] == 1
    (gap,) = report.gaps
    assert gap == "a.py: security: bandit's test B202 failed: AttributeError: 'Attribute' object has no attribute 'id'"


@pytest.mark.parametrize(
    "expression",
    ["- " * 2900 + "'/tmp'", "[" * 150 + "'/tmp'" + "]" * 150, "'/tmp'" + "+ x" * 2900, "x" + ".y" * 2900 + "('/tmp')"],
)
def test_deeply_nested_code_is_checked(expression: str) -> None:
    found = on_a_deep_stack(lambda: run_bandit(source(f"x = {expression}\nassert x\n")))
    assert found.failures == {}
    assert [issue.test_id for issue in found.issues] == ["B108", "B101"]


def test_recursion_error_on_a_shallow_stack_is_a_failure() -> None:
    tree = on_a_deep_stack(lambda: source("x = 'select a from ' " + "+ x" * 2900).tree)
    shallow = source("x")
    vars(shallow)["tree"] = tree
    found = run_bandit(shallow)
    assert found.failures["B608"].startswith("RecursionError: ")


def test_shared_syntax_tree_is_not_changed() -> None:
    file = source("def f(a='/tmp'):\n    return g(x, *[1])\n")
    before = {id(node): dict(vars(node)) for node in ast.walk(file.tree)}
    run_bandit(file)
    assert {id(node): dict(vars(node)) for node in ast.walk(file.tree)} == before
    assert not hasattr(ast.Load(), "_bandit_parent")


def test_nothing_is_printed_or_logged(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    run_bandit(source((FIXTURES / "raising.py").read_text() + (FIXTURES / "nosec.py").read_text()))
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_only_tests_of_bandit_itself_run() -> None:
    modules = {rule.check.__module__ for found in RULES.values() for rule in found}
    assert all(module.startswith(("bandit.plugins.", "bandit.core.")) for module in modules)


def test_prefilters_belong_to_existing_tests() -> None:
    assert set(CALL_PREFILTERS) <= {rule.test_id for rule in RULES["Call"]}
    assert {PASSWORD_RULE_ID, SQL_RULE_ID, *VALUE_PREFILTERS} <= {rule.test_id for rule in RULES["Str"]}


def all_strings(nodes: SyntaxNodes) -> list[tuple[ast.Constant, tuple[Rule, ...]]]:
    return [(text, RULES["Str"]) for text in nodes.text_constants if isinstance(text.value, str)]


def test_rules_that_use_parents_are_known() -> None:
    found_by_text = {
        rule.test_id
        for found in RULES.values()
        for rule in found
        if "_bandit_parent" in Path(sys.modules[rule.check.__module__].__file__ or "").read_text()
    }
    assert found_by_text - {"B106", "B107"} <= RULES_USING_PARENTS  # these two share a module with B105


def run_without_prefilters(file: SourceFile, monkeypatch: pytest.MonkeyPatch) -> BanditResult:
    with monkeypatch.context() as patch:
        patch.setattr(bandit_driver, "rules_for_call", lambda _name, _keywords: RULES["Call"])
        patch.setattr(bandit_driver, "rules_for_function", lambda _function: RULES["FunctionDef"])
        patch.setattr(bandit_driver, "candidate_strings", all_strings)
        patch.setattr(bandit_driver, "rules_for_text", lambda _text: RULES["File"])
        return run_bandit(file)


@pytest.mark.parametrize("place", [FIXTURES, PACKAGES / "bandit", PACKAGES / "click", PACKAGES / "pip" / "_internal"])
def test_prefilters_hide_no_issue(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = 0
    for path in sorted(copy_python(place, tmp_path / "tree").rglob("*.py")):
        file = SourceFile(path.name, path.read_bytes())
        if file.parse_error is None:
            filtered, complete = run_bandit(file), run_without_prefilters(file, monkeypatch)
            assert filtered.issues == complete.issues
            assert filtered.suppressed == complete.suppressed
            seen += 1
    assert seen


@pytest.mark.parametrize(
    ("comment", "named"),
    [
        ("# nosec", set()),
        ("#nosec", set()),
        ("# nosec: B101", {"B101"}),
        ("# nosec B101 B403", {"B101", "B403"}),
        ("# nosec B101,B403", {"B403"}),  # without a space bandit sees the last one only
        ("# nosec B101, B403", {"B101", "B403"}),
        ("# nosec assert_used", {"B101"}),
        ("# nosec import_pickle", {"B403"}),
        ("# nosec b101", set()),  # unknown names silence everything
        ("# nosec B101 # and so on", {"B101"}),
        ("# NOSEC", None),
        ("# nothing", None),
    ],
)
def test_nosec_comment_silences_the_tests_that_it_names(comment: str, named: set[str] | None) -> None:
    assert nosec_lines(f"\nx = 1  {comment}\n".encode()) == ({} if named is None else {2: named})


def test_nosec_comments_before_a_tokenizer_error_count() -> None:
    assert nosec_lines(b"x  # nosec\ny = (\n") == {1: frozenset()}
    assert nosec_lines(b"x  # nosec\nif y:\n  z\n z\n") == {1: frozenset()}


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("f()", "f"),
        ("a.b.c()", "a.b.c"),
        ("sp.run()", "subprocess.run"),
        ("x.y.z()", "other.z"),
        ("f().g()", ".g"),
        ("f[0]()", ""),
        ("(lambda: 1)()", ""),
    ],
)
def test_called_name(call: str, name: str) -> None:
    expression = ast.parse(call, mode="eval").body
    assert isinstance(expression, ast.Call)
    assert called_name(expression.func, {"sp": "subprocess", "x.y": "other"}) == name


def test_line_range_of_a_node_without_a_position() -> None:
    (function,) = ast.parse("def f(a,\n      b='''x\n      y''',\n      *,\n      c=1,\n      ): pass").body
    assert isinstance(function, ast.FunctionDef)
    assert line_range(function.args) == range(1, 6)
    assert line_range(ast.parse("lambda: 1", mode="eval").body.args) == range(2)  # type: ignore[attr-defined]
    assert line_range(function) == range(1, 7)


def test_facts_are_plain_data(tmp_path: Path) -> None:
    assert inspect("assert x  # nosec\nassert y\n") == {
        "findings": [
            [
                "B101",
                "low",
                2,
                None,
                "Use of assert detected. The enclosed code will be removed when compiling to optimised byte code.",
                1,
                2,
                9,
                line_hash(b"asserty"),
                LocationHasher(b"assert x  # nosec\nassert y\n").at(2),
            ]
        ],
        "suppressed": 1,
        "failures": {},
    }


def test_severity_is_not_cut_off_a_long_message() -> None:
    (finding,) = summarize(a="import ssl\nssl._create_unverified_context()\n").findings
    assert len(finding.message) <= MESSAGE_LIMIT
    assert finding.message.endswith("… (medium severity)")
