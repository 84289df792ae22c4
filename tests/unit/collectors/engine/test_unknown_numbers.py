"""What cannot be measured stays unknown: breaking a file never gives it, or its tree, a better score."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collectors.engine.analysis import Options, analyse
from collectors.source.source_tree import SourceFile
from domain.findings.measured_run import iter_files
from domain.metrics.file_tree import quality_of
from domain.sources import FetchedSource
from tests.unit.collectors.source_trees import load_tree

FILES = {
    "broken.py": "import os\nimport sys\nl = 'abc\n",  # the string is not closed, so no line can be counted
    "many.py": 'x = "abc\n' * 40,
    "parses.py": "import os\nimport sys\nl = 1\n",
    "unknown_encoding.py": "# coding: nosuch\ndef f():\n    if 1:\n        pass\n",
}


def analysed(root: Path, *names: str) -> dict[str, Any]:
    for name in names:
        (root / name).write_text(FILES[name])
    return analyse(load_tree(root), FetchedSource(has_history=False), Options(processes=1)).document()


def metrics_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    files: dict[str, Any] = {file["name"]: file["metrics"] for file in document["file_tree"]["children"]}
    return dict(files[name])


def test_file_whose_lines_cannot_be_counted_has_no_density_and_no_score(tmp_path: Path) -> None:
    document = analysed(tmp_path, "broken.py", "many.py", "parses.py")
    for name, issues in (("broken.py", 1), ("many.py", 40)):
        metrics = metrics_of(document, name)
        assert metrics["lint"]["count"] >= issues
        assert metrics["lint"]["severity"] is metrics["duplication"]["severity"] is None
        assert metrics["size"]["sloc"] is None
        assert metrics["health_score"] is None
    assert 0 < metrics_of(document, "parses.py")["health_score"] < 100
    assert document["metrics"]["lint"]["linting_score"] == 0


GOOD = {
    "three_lines": FILES["parses.py"],
    "documented": '"""Doc."""\n\n\ndef add(a, b):\n    """Add."""\n    return a + b\n',
    "insecure": "import subprocess\nsubprocess.call(input(), shell=True)\n",
    "complex": "def f(x):\n" + "".join(f"    if x == {n}:\n        return {n}\n" for n in range(12)),
    "repeated": "a = [1, 2, 3]\nb = a + a\nc = b + a\n" * 30,
    "latin": "# coding: latin-1\nx = 'caf\\xe9'\n",
    "empty": "",
}
BREAKING: dict[str, Callable[[str], str]] = {
    "open string": lambda text: text + "l = 'abc\n",
    "open string first": lambda text: "l = 'abc\n" + text,
    "open triple quotes": lambda text: text + 'l = """abc\n',
    "open bracket": lambda text: text + "l = (\n",
    "closed bracket": lambda text: text + ")\n",
    "no expression": lambda text: text + "l = = 1\n",
    "print statement": lambda text: text + "print 'a'\n",
    "bad indentation": lambda text: text + "  x = 1\n y = 2\n",
    "only a word": lambda text: text + "def\n",
    "merge conflict": lambda text: f"<<<<<<< HEAD\n{text}=======\n{text}>>>>>>> other\n",
    "control character": lambda text: text + "x = 1\x00\n",
    "unknown encoding": lambda text: "# coding: nosuch\n" + text.replace("# coding: latin-1\n", ""),
    "too deep": lambda text: text + "x = " + "(" * 300 + ")" * 300 + "\n",
    "cut in an expression": lambda text: text + "def broken(a, b):\n    return a +",
    "cut in a call": lambda text: text + "print(1, ",
}


def test_broken_file_never_scores_above_the_same_file_unbroken(tmp_path: Path) -> None:
    for good, text in GOOD.items():
        (tmp_path / f"{good}.py").write_text(text)
        for number, make_broken in enumerate(BREAKING.values()):
            (tmp_path / f"{good}_{number}.py").write_text(make_broken(text))
    document = analyse(load_tree(tmp_path), FetchedSource(has_history=False), Options(processes=1)).document()
    scores = {file["name"]: file["metrics"]["health_score"] for file in document["file_tree"]["children"]}
    not_parsed = {error.partition(":")[0] for error in document["errors"] if "does not parse" in error}
    for good in GOOD:
        whole = scores[f"{good}.py"]
        for number, how in enumerate(BREAKING):
            name = f"{good}_{number}.py"
            assert name in not_parsed, f"{how} leaves {good} parsable"
            assert scores[name] is None or (whole is not None and scores[name] <= whole), f"{good}, {how}"


@pytest.mark.parametrize("more", [(), ("empty.py",)])
def test_tree_without_a_countable_line_has_no_score_of_lines(
    tmp_path: Path, more: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FILES, "empty.py", "")
    metrics = analysed(tmp_path, "many.py", *more)["metrics"]
    assert metrics["lint"]["total"] >= 40
    assert metrics["lint"]["linting_score"] is None
    assert metrics["dupes"]["duplicate_pct"] is metrics["dupes"]["duplication_score"] is None
    assert metrics["size"]["files"] == 1 + len(more)
    assert (metrics["size"]["sloc"] is None) == (not more)


def test_file_with_an_unusable_encoding_has_the_numbers_of_the_tools_that_read_it(tmp_path: Path) -> None:
    document = analysed(tmp_path, "unknown_encoding.py")
    metrics = metrics_of(document, "unknown_encoding.py")
    assert metrics["complexity"]["value"] == 2
    assert metrics["maintainability"]["value"] == 100.0
    assert metrics["size"]["sloc"] == 3
    assert metrics["docs"]["value"] == 0.0
    assert metrics["security"]["high"] is None
    assert metrics["health_score"] is None
    assert "unknown encoding" in document["errors"][0]


INSECURE = "import subprocess\ndef f(x):\n    if x:\n        subprocess.call(x, shell=True)\n"
NEED_SYNTAX = ("cyclomatic", "dead_code", "deps", "docs", "mi", "security")


def with_broken_files(root: Path, broken: int, files: int) -> dict[str, Any]:
    for number in range(files):
        (root / f"file{number}.py").write_text(INSECURE + ("def (\n" if number < broken else ""))
    return analyse(load_tree(root), FetchedSource(has_history=False), Options(processes=1)).document()


@pytest.mark.parametrize("broken", [1, 4, 5])
def test_collectors_that_could_not_measure_each_file_are_partial(tmp_path: Path, broken: int) -> None:
    states = with_broken_files(tmp_path, broken, 5)["completeness"]["collectors"]
    assert {states[name] for name in NEED_SYNTAX} == {"partial"}
    assert states["lint"] == states["churn"] == "ok"


@pytest.mark.parametrize(("broken", "known"), [(0, True), (1, True), (2, True), (3, False), (4, False), (5, False)])
def test_scores_are_null_unless_most_files_were_measured(tmp_path: Path, broken: int, known: bool) -> None:
    document = with_broken_files(tmp_path, broken, 5)
    security, cyclomatic = document["metrics"]["security"], document["metrics"]["cyclomatic"]
    scores = [security["security_score"], cyclomatic["complexity_score"], quality_of(iter_files(document["file_tree"]))]
    scores += [security["by_role"]["source"]["security_score"]]
    assert [score is not None for score in scores] == [known] * 4
    assert security["high"] == (5 - broken if broken < 5 else None), "counts stay those of the tool"


def test_scores_of_a_role_without_broken_files_stay(tmp_path: Path) -> None:
    (tmp_path / "test_good.py").write_text(INSECURE)
    by_role = with_broken_files(tmp_path, 3, 3)["metrics"]["security"]["by_role"]
    assert by_role["test"]["security_score"] is not None
    assert by_role["source"]["security_score"] is None


def test_tree_without_a_file_that_parses_has_no_number_of_modules_and_the_count_of_vulture(tmp_path: Path) -> None:
    metrics = with_broken_files(tmp_path, 2, 2)["metrics"]
    assert metrics["dead_code"]["unused_symbols"] == 0
    assert metrics["deps"] == {"total_modules": None, "package_health": []}


NEWER = {
    (3, 12): [
        "type X = int", "type X[T] = list[T]", "def f[T](x: T): pass", "    async def f[T](): ...", "class A[T]: pass",
        'y = f"{x["a"]}"', "y = f'{', '.join(x)}'", 'print(f"{f"{1}"}")', 'y = f"{x + "a"}" + "b"', 'y = f"{"a"}"',
        'y = f"{\'\\n\'.join(x)}"',
    ],
    (3, 13): ["class A[T = int]: pass", "def f[T=int](x: T): pass", "type X[T = int] = list[T]"],
    (3, 14): ['y = t"{x}"', "y = f(T'a')", 'y = rt"a"', "try:\n  pass\nexcept KeyError, ValueError:\n  pass"],
}  # fmt: skip


@pytest.mark.parametrize(("needed", "line"), [(needed, line) for needed, lines in NEWER.items() for line in lines])
def test_syntax_that_is_newer_than_the_running_python_is_said_to_be_so(needed: tuple[int, int], line: str) -> None:
    error = SourceFile("a.py", f"if x:\n    pass\n{line}\n".encode()).parse_error
    running = (sys.version_info[0], sys.version_info[1])
    if running >= needed:
        assert error is None
    else:
        number = 3 + line.removesuffix("\n  pass").count("\n")
        versions = "newer than Python {}.{}: this needs Python {}.{}".format(*running, *needed)
        assert error == f"SyntaxError: {versions} (line {number})"


@pytest.mark.parametrize("line", ["type = = 1", "print x", "def f(: pass", "type X == int", "class A(: pass",
    'f"{a" + "}")', 'y = f"a" "b', "y = f(x, 'a' b)", "except A, e:", "try:\n  pass\nexcept IOError, e:\n  pass",
    'y = "{" x "}"',
    "x = 1 t 'a'", 'print "t", "a"', "y = f'{a b}'", "y = 'don't'", 'f"{a}" = ="',
])  # fmt: skip
def test_other_errors_are_not_said_to_be_newer_syntax(line: str) -> None:
    assert "newer" not in str(SourceFile("a.py", f"{line}\n".encode()).parse_error)
