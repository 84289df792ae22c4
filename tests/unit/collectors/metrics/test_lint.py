import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from collectors.contract import TREE_PATH, FileCollector, Totals
from collectors.metrics.lint import COLLECTOR
from collectors.source.source_tree import FileEntry, SourceFile, SourceTree
from collectors.tools import ruff_runner
from collectors.tools.ruff_runner import RuffError, RuffResult, RuffRunner
from collectors.tools.tool_process import ToolRun
from domain.findings.identity import line_hash
from domain.findings.location_hash import LocationHasher
from domain.findings.severity import FindingSeverity
from domain.metrics.report import Finding, Report
from tests.unit.collectors.source_trees import load_tree

DEEP = b"x = " + b"- " * 100_000 + b"1\n"
"""Overflows 64 MiB of ruff's stack."""


def tree_of(root: Path, **files: bytes) -> SourceTree:
    root.mkdir()
    for name, data in files.items():
        (root / f"{name}.py").write_bytes(data)
    return load_tree(root)


def run_lint(tree: SourceTree) -> Report:
    facts: dict[str, Any] = {TREE_PATH: msgpack.unpackb(msgpack.packb(COLLECTOR.collect_tree(tree)))}
    sloc: dict[str, int | None] = {}
    for entry in tree.entries:
        file = SourceFile(entry.path, entry.location.read_bytes())
        sloc[entry.path] = None if file.parse_error else file.line_counts.sloc
        if file.parse_error is None:
            facts[entry.path] = msgpack.unpackb(msgpack.packb(COLLECTOR.inspect(file)))
    return COLLECTOR.summarize(facts, Totals(sloc=sloc))


def test_lint_is_a_file_collector() -> None:
    assert isinstance(COLLECTOR, FileCollector)


def test_finding_has_rule_place_and_function(tmp_path: Path) -> None:
    text = b"class A:\n    def f(self):\n        import os\n\n\n\nx = 1\nx == 2\n"
    report = run_lint(tree_of(tmp_path / "tree", a=text, b=b"y = 1\n"))
    assert report.findings == [
        Finding(
            metric="lint",
            rule="F401",
            severity=FindingSeverity.LOW,
            path="a.py",
            line=3,
            column=16,
            end_line=3,
            end_column=18,
            message="`os` imported but unused",
            function="A.f",
            identity=line_hash(b"import os"),
            line_hash=line_hash(b"import os"),
            location_hash=LocationHasher(text).at(3),
        ),
        Finding(
            metric="lint",
            rule="B015",
            severity=FindingSeverity.LOW,
            path="a.py",
            line=8,
            column=1,
            end_line=8,
            end_column=7,
            identity=line_hash(b"x == 2"),
            line_hash=line_hash(b"x == 2"),
            location_hash=LocationHasher(text).at(8),
            message="Pointless comparison. Did you mean to assign a value? Otherwise, prepend `assert` or remove it.",
        ),
    ]
    assert report.per_file == {"a.py": {"count": 2, "suppressed": 0}, "b.py": {"count": 0, "suppressed": 0}}
    assert report.aggregate == {"total": 2, "suppressed": 0, "linting_score": 0.0}  # on 6 source lines
    assert report.gaps == []


def test_syntax_errors_count_without_a_function(tmp_path: Path) -> None:
    report = run_lint(tree_of(tmp_path / "tree", a=b"def f(:\n import os\n"))
    assert report.per_file["a.py"]["count"] == 2
    assert {(finding.rule, finding.function) for finding in report.findings} == {("invalid-syntax", None)}


@pytest.mark.parametrize(
    ("text", "visible", "suppressed"),
    [
        (b"import os  # noqa\n", 0, 1),
        (b"import os  # NoQA : F401\n", 0, 1),
        (b"import os  # noqa: F401, E501\n", 1, 1),  # RUF100 reports the unused half
        (b"import os  # noqa: F811\n", 2, 0),
        (b"# ruff: noqa\nx = 1\nx == undefined\n", 0, 2),
        (b"# flake8: noqa: F401\nimport os\nimport sys\n", 0, 2),
        (b"# ruff: noqa: B015\nx = 1\nx == undefined\n", 1, 1),
        (b"import os  # ruff: ignore[F401]\n", 0, 1),
        (b"# ruff: disable[F401]\nimport os\n# ruff: enable[F401]\nimport sys\n", 2, 1),
        (b"# ruff: file-ignore[F401]\nimport os\n", 0, 1),
        (b"x = 1  # noqa\n", 1, 0),
        (b"import os\n\nx = 'noqa'\n", 1, 0),
    ],
)
def test_issues_hidden_by_comments_are_counted_as_suppressed(
    tmp_path: Path, text: bytes, visible: int, suppressed: int
) -> None:
    report = run_lint(tree_of(tmp_path / "tree", a=text))
    counted = {(finding.rule, finding.line) for finding in report.findings}
    assert report.per_file["a.py"] == {"count": visible, "suppressed": suppressed}, counted


@pytest.mark.parametrize("name", ["build", "dist", ".direnv", "_build", ".hidden", "buck-out", ".ruff_cache", "venv"])
def test_no_directory_is_excluded(tmp_path: Path, name: str) -> None:
    (tmp_path / name / "deeper").mkdir(parents=True)
    (tmp_path / name / "deeper" / "a.py").write_bytes(b"import os\n")
    (tmp_path / ".gitignore").write_text("*.py\n")
    tree = load_tree(tmp_path)
    only = [entry for entry in tree.entries if entry.path.endswith(".py")]
    assert [len(found) for found in RuffRunner(tree, 60).check(only).diagnostics.values()] == [1]


def test_file_names_are_not_read_as_options_lists_or_lines(tmp_path: Path) -> None:
    names = [b"-x.py", b"--fix.py", b"@args.py", b"a b.py", b"n\nl.py", b"'\"$(x)`.py", "é.py".encode(), b"-"]
    odd = [b"\xff.py", b"\xfe.py", "\ufffd.py".encode(), b"d\xff/a.py"]
    root = os.fsencode(tmp_path / "tree")
    Path(os.fsdecode(root + b"/d\xff")).mkdir(parents=True)
    for number, name in enumerate(names + odd, start=1):
        Path(os.fsdecode(root + b"/" + name)).write_bytes(b"import os\nimport sys\n"[: 10 if number % 2 else 21])
    tree = load_tree(Path(os.fsdecode(root)))
    result = RuffRunner(tree, 60).check(tree.entries)
    assert result.failures == {}
    expected = {entry.path: 1 if entry.size == 10 else 2 for entry in tree.entries}
    assert {path: len(found) for path, found in result.diagnostics.items()} == expected
    assert len(expected) == 12


def test_root_may_be_a_symbolic_link(tmp_path: Path) -> None:
    tree_of(tmp_path / "tree", a=b"import os\n")
    (tmp_path / "link").symlink_to("tree")
    assert run_lint(load_tree(tmp_path / "link")).aggregate["total"] == 1


def test_only_the_file_that_crashes_ruff_is_skipped(tmp_path: Path) -> None:
    good = {f"good_{number}": b"import os\n" for number in range(20)}
    report = run_lint(tree_of(tmp_path / "tree", **good, deep=DEEP, worse=DEEP + b"# noqa\n"))
    assert report.aggregate["total"] == 20
    assert report.per_file["deep.py"] == {"count": None, "suppressed": None}
    assert report.gaps == [
        "deep.py: lint skipped: crashed (SIGABRT)",
        "worse.py: lint skipped: crashed (SIGABRT)",
    ]


def test_nesting_of_5000_levels_does_not_crash_ruff(tmp_path: Path) -> None:
    report = run_lint(tree_of(tmp_path / "tree", a=b"x = " + b"- " * 5000 + b"1\n", b=b"import os\n"))
    assert report.gaps == []
    assert report.per_file["b.py"]["count"] == 1


def test_numbers_are_null_where_ruff_fails_on_every_file(tmp_path: Path) -> None:
    report = run_lint(tree_of(tmp_path / "tree", deep=DEEP))
    assert report.aggregate == dict.fromkeys(COLLECTOR.metric.keys)
    assert report.gaps == ["deep.py: lint skipped: crashed (SIGABRT)"]


def test_no_configuration_is_read_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tree_of(tmp_path / "tree", a=b"import os\n")
    before = COLLECTOR.collect_tree(tree)
    for place in (tmp_path, tree.root, tmp_path / "home" / ".config" / "ruff"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "pyproject.toml").write_text('[tool.ruff]\nextend = "/etc/passwd"\n[tool.ruff.lint]\nselect = []\n')
        (place / "ruff.toml").write_text('exclude = ["*.py"]\nlint.select = []\n')
        (place / ".ruff.toml").write_text("no toml at all [[[\n")
        (place / ".editorconfig").write_text("root = true\n[*]\nmax_line_length = 1\n")
    for name, value in {
        "HOME": tmp_path / "home",
        "XDG_CONFIG_HOME": tmp_path / "home" / ".config",
        "RUFF_CONFIG": tmp_path / "ruff.toml",
        "RUFF_OUTPUT_FILE": tmp_path / "stolen",
        "RUFF_OUTPUT_FORMAT": "full",
        "RUFF_CACHE_DIR": tmp_path / "cache",
        "RAYON_NUM_THREADS": "nonsense",
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path)
    files = sorted(tmp_path.rglob("*"))
    assert COLLECTOR.collect_tree(tree) == before
    assert sorted(tmp_path.rglob("*")) == files


def test_many_long_paths_take_several_command_lines(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 200) / ("e" * 200)
    directory.mkdir(parents=True)
    for number in range(700):
        (directory / f"{number}.py").write_bytes(b"import os\n")
    tree = load_tree(tmp_path)
    answers = RuffRunner(tree, 60).check(tree.entries)
    assert len(answers.diagnostics) == 700
    assert all(len(found) == 1 for found in answers.diagnostics.values())


TIMED_OUT = "timed out after 5 s"

Answer = tuple[int | None, bytes, str | None]
"""Exit code, output, and why the tool failed."""

Script = Callable[[list[str]], Answer]


def scripted(monkeypatch: pytest.MonkeyPatch, script: Script) -> list[list[str]]:
    """Replace ruff by `script`, which gets the paths, or ["-"] for a run on standard input that shows if ruff works."""
    asked: list[list[str]] = []

    def run(command: list[str], *, on_line: Callable[[bytes], None], **_: object) -> ToolRun:
        paths = command[command.index("--") + 1 :] if "--" in command else ["-"]
        asked.append(paths)
        exit_code, output, failure = script(paths)
        for line in output.splitlines():
            on_line(line)
        return ToolRun(exit_code=exit_code, stderr="broken\n", failure=failure, timed_out=failure == TIMED_OUT)

    monkeypatch.setattr(ruff_runner, "run_tool", run)
    return asked


def answer(exit_code: int | None, output: bytes = b"", failure: str | None = None) -> Answer:
    return exit_code, output, failure


def test_collector_fails_where_ruff_does_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tree_of(tmp_path / "tree", a=b"", b=b"")
    asked = scripted(monkeypatch, lambda _: answer(2))
    with pytest.raises(RuffError, match="ruff does not work: broken"):
        COLLECTOR.collect_tree(tree)
    assert asked == [["./a.py", "./b.py"], ["-"]]


def test_collector_fails_where_ruff_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: list[str]) -> Answer:
        raise PermissionError("not here")

    scripted(monkeypatch, refuse)
    with pytest.raises(RuffError, match="cannot be started: not here"):
        COLLECTOR.collect_tree(tree_of(tmp_path / "tree", a=b""))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (answer(None, failure=TIMED_OUT), TIMED_OUT),
        (answer(2), "ruff failed: broken"),
        (answer(1), "ruff's exit code contradicts its output"),
        (answer(0, b"{}\n"), "ruff's output is not the expected JSON"),
        (answer(1, b'{"code":'), "ruff's output is not the expected JSON"),
        (answer(1, b'{"code": null, "filename": 1}\n'), "ruff's output is not the expected JSON"),
    ],
)
def test_invalid_output_of_ruff_fails_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: Answer, reason: str
) -> None:
    tree = tree_of(tmp_path / "tree", **{f"f{number}": b"" for number in range(7)})
    asked = scripted(monkeypatch, lambda paths: bad if "./f4.py" in paths else answer(0))
    answers = RuffRunner(tree, 60).check(tree.entries)
    assert answers.failures == {"f4.py": reason}
    assert sorted(answers.diagnostics) == ["f0.py", "f1.py", "f2.py", "f3.py", "f5.py", "f6.py"]
    assert len(asked) <= 11  # all, standard input (does ruff work?), each of the seven, and the bad one twice more


def test_diagnostic_of_another_file_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = b'{"code": "F401", "filename": "/elsewhere.py", "location": {"row": 1, "column": 1}, "message": "x"}\n'
    scripted(monkeypatch, lambda paths: answer(1, line) if len(paths) > 1 else answer(0))
    tree = tree_of(tmp_path / "tree", a=b"", b=b"")
    assert RuffRunner(tree, 60).check(tree.entries).diagnostics == {"a.py": [], "b.py": []}


def test_only_files_that_hang_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tree_of(tmp_path / "tree", **{f"f{number}": b"" for number in range(2000)})
    now = 0.0
    hang, slow = {"./f4.py", "./f1444.py"}, "./f77.py"

    def run(command: list[str], *, timeout: float, **_: object) -> ToolRun:
        nonlocal now
        needed = 3600.0 if not hang.isdisjoint(command) else 6.0 if slow in command else 0.01
        now += min(timeout, needed)
        if needed > timeout:
            return ToolRun(exit_code=None, stderr="", failure=TIMED_OUT, timed_out=True)
        return ToolRun(exit_code=0, stderr="")

    monkeypatch.setattr(ruff_runner, "run_tool", run)
    answers = RuffRunner(tree, 120, clock=lambda: now).check(tree.entries)
    assert set(answers.failures) == {"f4.py", "f1444.py"}
    assert len(answers.diagnostics) == 1998


def test_files_without_time_left_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 10.0, 70.0])
    tree = tree_of(tmp_path / "tree", a=b"", b=b"")
    scripted(monkeypatch, lambda paths: answer(0) if paths == ["-"] else answer(None, failure=TIMED_OUT))
    ruff = RuffRunner(tree, 60, clock=lambda: next(times, 70.0))
    assert ruff.check(tree.entries).failures == dict.fromkeys(
        ("a.py", "b.py"), "no time left of the 60 s for all files"
    )


def test_suppressed_is_null_where_only_the_second_run_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tree_of(tmp_path / "tree", a=b"x  # noqa\n", b=b"y\n")
    calls: list[int] = []

    def script(paths: list[str]) -> Answer:
        calls.append(len(paths))
        return answer(0) if len(calls) == 1 or paths == ["-"] else answer(None, failure="crashed (SIGSEGV)")

    scripted(monkeypatch, script)
    report = run_lint(tree)
    assert report.per_file == {"a.py": {"count": 0, "suppressed": None}, "b.py": {"count": 0, "suppressed": 0}}
    assert report.aggregate["suppressed"] == 0
    assert report.gaps == ["a.py: lint: suppressed not counted: crashed (SIGSEGV)"]


def test_ruff_runs_only_on_files_without_a_known_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tree_of(tmp_path / "tree", a=b"import os\n", b=b"import sys  # noqa\n", c=b"x = 1\n", d=b"def (\n")
    facts, answers = COLLECTOR.collect_incremental(tree, {})
    assert set(answers) == {"a.py", "b.py", "c.py", "d.py"}
    assert all(COLLECTOR.answer_schema.matches(answer) for answer in answers.values())
    asked: list[str] = []
    check = RuffRunner.check

    def record(self: RuffRunner, entries: Iterable[FileEntry], **options: bool) -> RuffResult:
        asked.extend(entry.path for entry in entries)
        return check(self, entries, **options)

    monkeypatch.setattr(RuffRunner, "check", record)
    known = {path: answer for path, answer in answers.items() if path != "b.py"}
    assert COLLECTOR.collect_incremental(tree, known) == (facts, {"b.py": answers["b.py"]})
    assert asked == ["b.py", "b.py"]  # with its comment, and without
    monkeypatch.setattr(RuffRunner, "_run", None)
    assert COLLECTOR.collect_incremental(tree, answers) == (facts, {})
