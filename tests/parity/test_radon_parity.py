"""Measures of each file, compared with `radon raw`, `radon cc` and `radon mi`, each with `--json`."""

import sys
from pathlib import Path
from typing import Any

import pytest

from collectors.metrics import cyclomatic, mi, size
from collectors.source.source_tree import SourceFile
from tests.parity.support.comparison import (
    PACKAGES,
    STDLIB,
    copy_python,
    corpus_files,
    inspect_files,
    is_plain_utf_8,
    run_file_collector,
    run_radon,
    write_files,
)

PACKAGES_ON_CI = ["radon", "click", "httpx", "h11", "docstr_coverage"]
MORE_PACKAGES = ["bandit", "_pytest", "packaging", "typer", "httpcore", "pydantic", "sqlalchemy", "hypothesis"]
STDLIB_LEFT_OUT = [
    "html/entities.py",  # tables of thousands of lines, on which radon is too slow
    "pydoc_data/topics.py",
    "test/test_unicode_identifiers.py",  # before Python 3.12 radon fails: U+2118 is not matched by `\w`
]

Function = tuple[str, int, int]

# Written here, because git and editors would change such bytes.
BYTES = {
    "crlf.py": b'"""Doc\r\n\r\nstring."""\r\n\r\n# c\r\nx = 1; y = 2\r\ndef f():\r\n return (1,\r\n\r\n  2) or 3\r\n',
    "mixed_line_ends.py": b'x = 1\r\n\n# a\ry = 2\n"""a\rb\r\n\r\nc"""\rif x: y\n',
    "carriage_returns.py": b"x = 1\ry = 2\r\r# c\rdef f():\r  return x or y\r",
    "cookie_utf_8.py": b'# -*- coding: utf-8 -*-\n"""\xc3\xa4"""\nx = "\xe2\x80\xa6" + x\n',
    "cookie_latin_1_in_ascii.py": b"# vim: set fileencoding=latin-1 :\nx = 1 + 1\n",
    "latin_1_by_cookie_only.py": "# coding: latin-1\n# \u00c5 b c\nx = 1 + 1\n".encode(),
    "tabs.py": b"if x:\n\tif y:\n\t\tz = 1\n\telse:\n\t    z = 2\t# c\n\t\n\t# d\n",
    "form_feeds.py": b'"D"\n\x0c\nx = 1\n\x0c\n# c\n\x0cdef f():\n    return x or 1\n\n\x0c\x0c\nclass C: pass\x0c\n',
    "form_feed_in_line.py": b"y =\x0c1\nx =\x0c1; z =\x0cif_\n\x0c",
    "form_feed_in_docstring.py": b'"""Doc\x0c\n\nstring.\x0b"""\nx = 1\n',
    "form_feed_in_comment.py": b"# one\x0ctwo three = 4\n# five \x0c\nx = 1\n# six\x0c(\n(x)\n# seven\x0c)\ny = 2\n",
    "separators.py": 'x = """a\u2028b\u2029c\x85d\x1ce\x1df\x1eg"""\n# a\u2028\n# b\u2028y = 1; z: 2\n'.encode(),
    "form_feed_at_end.py": b"x = 1 + y\n\x0c",
    "blanks_and_form_feed_at_end.py": b"if x:\n    y = 1 + 2\n \t \x0c ",
    "comment_and_form_feed_at_end.py": b"x = 1 + y\n# c\x0c",
    "only_form_feeds.py": b"\x0c\n\x0c\x0c\n",
    "only_a_form_feed.py": b"\x0c",
    "no_newline_after_comment.py": b"x = 1\n# c",
    "no_newline_after_indent.py": b"if x:\n    y\n    ",
    "continued_to_blank.py": b"x = 1 \\\n\n\n\ny = 2 \\\n\n# c\nz = 3 \\\n\n\\\n\nw = 4 \\\n\n'''a\n'''\n",
    "docstring_continued_to_blank.py": b"'''a''' \\\n\n\n'''b\n\n''' \\\n\n\nx = 1\n",
    "starts_continued.py": b"\\\n# c\n\\\n'''a'''\n\\\n\\\nx\n",
}
# radon reads each file as UTF-8, so it finishes where Python refuses the declared encoding.
UNUSABLE_ENCODINGS = {
    "unknown.py": b"# coding: nosuch\ndef f():\n    if 1:\n        pass\n",
    "unknown_in_line_two.py": b"#!/usr/bin/env python\r\n# vim: set fileencoding=nosuch :\r\nx = y or 1\r\n",
    "no_text_encoding.py": b"# -*- coding: rot13 -*-\nx = y or 1\n",
    "not_ascii.py": "# coding: ascii\nx = '\u00e4' + y\n".encode(),
    "other_bytes.py": b"# coding: utf-16\nx = y or 1\n",
    "other_letters.py": "# coding: latin-1\ngr\u00f6\u00dfe = \u00e9 = 1 if x else 2\n".encode(),
    "other_text.py": b"# coding: utf-7\nx = 1 +AC- 2\n",
}
RADON_FAILS = {
    "bom.py": b"\xef\xbb\xbfx = 1\n",
    "latin_1.py": b"# coding: latin-1\nx = '\xe4'\n",
    "separator_in_quotes.py": "x = 'a\u2028b'\ny = 1 or 2\n".encode(),
    "odd_identifier.py": "x = \u2118 = 1\n\n# c\n".encode(),
    "comment_hides_a_bracket.py": b"# one\x0c(\nx = 1\n",
    "comment_hides_a_quote.py": b"# it\x0cain't\nx = 1\n",
}
NOT_PARSING = {
    "python_2.py": b'"""D\n\nd."""\nprint "hello", x; y = 1\n\n# c\nexec "x"\nraise E, "x"\n\x0c\nprint x[1:]; 0\n',
    "two_equals.py": b"x = = 1\n\n# c\n",
    "bad_indent.py": b"if x:\ny = 1\n        z = 2\n",
    "unclosed.py": b"def f(\n",
    "unclosed_string.py": b'x = 1\ny = """\n',
    "unmatched.py": b"x = )\n",
    "stray.py": b"x = $\n",
    "ends_continued.py": b"x = 1\ny = 2 \\\n",
}


def without_errors(report: dict[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in report.items() if "error" not in value}


def errors(report: dict[str, Any]) -> set[str]:
    return set(report) - set(without_errors(report))


def our_functions(root: Path) -> dict[str, list[Function]]:
    facts = inspect_files(cyclomatic.COLLECTOR, root)
    return {
        path: sorted((row[0], row[1], row[2]) for row in functions) for path, functions in facts.items() if functions
    }


def radon_functions(report: dict[str, Any]) -> dict[str, list[Function]]:
    listed = {
        path: sorted(_function(entry) for entry in value if entry["type"] != "class") for path, value in report.items()
    }
    return {path: functions for path, functions in listed.items() if functions}


def _function(entry: dict[str, Any]) -> Function:
    owner = entry.get("classname")
    return (f"{owner}.{entry['name']}" if owner else entry["name"], entry["lineno"], entry["complexity"])


def assert_same(root: Path) -> None:
    """Compare all files; radon must succeed on each of them."""
    raw, cc, index = (run_radon(root, command) for command in ("raw", "cc", "mi"))
    assert not errors(raw) | errors(cc) | errors(index)
    assert inspect_files(size.COLLECTOR, root) == raw
    assert our_functions(root) == radon_functions(cc)
    assert_places(root, cc)
    assert inspect_files(mi.COLLECTOR, root) == {path: value["mi"] for path, value in index.items()}
    assert_aggregates(root, raw, radon_functions(cc), index)


def assert_places(root: Path, cc: dict[str, Any]) -> None:
    """Compare the places of all findings; radon's columns count UTF-8 bytes from 0."""
    expected = []
    for path, entries in cc.items():
        lines = SourceFile(path, (root / path).read_bytes()).utf_8_text.split("\n")
        expected += [
            (
                path,
                entry["lineno"],
                len(lines[entry["lineno"] - 1].encode()[: entry["col_offset"]].decode()) + 1,
                entry["endline"],
            )
            for entry in entries
            if entry["type"] != "class" and entry["complexity"] > cyclomatic.THRESHOLD
        ]
    findings = run_file_collector(cyclomatic.COLLECTOR, root).findings
    assert sorted((item.path, item.line, item.column, item.end_line) for item in findings) == sorted(expected)


def assert_aggregates(root: Path, raw: dict[str, Any], cc: dict[str, list[Function]], index: dict[str, Any]) -> None:
    sloc = sum(value["sloc"] for value in raw.values())
    found = run_file_collector(size.COLLECTOR, root)
    assert found.aggregate == {"files": len(raw), "sloc": sloc, "avg_file_sloc": int(sloc / len(raw))}
    complexities = [complexity for functions in cc.values() for _, _, complexity in functions]
    average = sum(complexities) / len(complexities) if complexities else 0.0
    found = run_file_collector(cyclomatic.COLLECTOR, root)
    assert found.aggregate == {
        "avg_cc": pytest.approx(average),
        "complexity_score": pytest.approx(100 - 5 * average),
        "functions": len(complexities),
        "complex_functions": sum(complexity > cyclomatic.THRESHOLD for complexity in complexities),
    }
    assert {path: row["max"] for path, row in found.per_file.items() if row["max"]} == {
        path: max(complexity for _, _, complexity in functions) for path, functions in cc.items()
    }
    found = run_file_collector(mi.COLLECTOR, root)
    assert found.aggregate == {"mi_avg": pytest.approx(sum(value["mi"] for value in index.values()) / len(index))}


def test_corpus_equals_radon(tmp_path: Path) -> None:
    for path in corpus_files():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert_same(tmp_path)


def test_unusual_bytes_equal_radon(tmp_path: Path) -> None:
    assert_same(write_files(tmp_path, BYTES))


@pytest.mark.parametrize("package", PACKAGES_ON_CI)
def test_package_equals_radon(tmp_path: Path, package: str) -> None:
    assert_same(copy_python(PACKAGES / package, tmp_path / package))


@pytest.mark.slow
@pytest.mark.parametrize("package", MORE_PACKAGES)
def test_large_package_equals_radon(tmp_path: Path, package: str) -> None:
    assert_same(copy_python(PACKAGES / package, tmp_path / package))


@pytest.mark.slow
def test_standard_library_equals_radon(tmp_path: Path) -> None:
    root = copy_python(STDLIB, tmp_path / "lib")
    for path in STDLIB_LEFT_OUT:
        (root / path).unlink()
    for file in [SourceFile(str(path), path.read_bytes()) for path in root.rglob("*.py")]:
        if file.parse_error or not is_plain_utf_8(file.data):
            Path(file.path).unlink()
    assert_same(root)


def test_files_on_which_radon_fails_are_measured(tmp_path: Path) -> None:
    raw = run_radon(write_files(tmp_path, RADON_FAILS), "raw")
    succeeds = {"bom.py", "odd_identifier.py"} if sys.version_info >= (3, 12) else set()
    assert errors(raw) == set(RADON_FAILS) - succeeds
    ours = inspect_files(size.COLLECTOR, tmp_path)
    assert {path: (value["loc"], value["sloc"], value["lloc"]) for path, value in ours.items()} == {
        "bom.py": (1, 1, 1),
        "latin_1.py": (2, 1, 1),
        "separator_in_quotes.py": (2, 2, 2),
        "odd_identifier.py": (3, 1, 1),
        "comment_hides_a_bracket.py": (2, 1, 1),
        "comment_hides_a_quote.py": (2, 1, 1),
    }
    assert set(inspect_files(mi.COLLECTOR, tmp_path)) == set(RADON_FAILS)


def test_unusable_encodings_equal_radon(tmp_path: Path) -> None:
    assert_same(write_files(tmp_path, UNUSABLE_ENCODINGS))
    assert [file for file in UNUSABLE_ENCODINGS if SourceFile(file, UNUSABLE_ENCODINGS[file]).parse_error]


def test_files_with_a_byte_order_mark_equal_radon(tmp_path: Path) -> None:
    texts = ['"""D."""\n', "# c\n", "\n", "x = 1\n", '"""D\n\nd."""\nx = 1  # c\n', "def f(): # c\n    return {1: 2}\n"]
    files = {f"bom_{number}.py": b"\xef\xbb\xbf" + text.encode() for number, text in enumerate(texts)}
    raw = run_radon(write_files(tmp_path, files), "raw")
    ours = inspect_files(size.COLLECTOR, tmp_path)
    if sys.version_info < (3, 12):  # radon fails on each of them
        assert errors(raw) == set(ours)
    else:
        assert ours == raw
    assert (ours["bom_0.py"]["sloc"], ours["bom_1.py"]["sloc"]) == ((0, 0) if sys.version_info < (3, 12) else (1, 1))


def test_lines_are_counted_in_files_that_do_not_parse(tmp_path: Path) -> None:
    raw = run_radon(write_files(tmp_path, NOT_PARSING), "raw")
    assert inspect_files(size.COLLECTOR, tmp_path) == without_errors(raw)
    assert {"python_2.py", "two_equals.py", "bad_indent.py"} <= set(without_errors(raw)) < set(NOT_PARSING)
    assert errors(run_radon(tmp_path, "cc")) == errors(run_radon(tmp_path, "mi")) == set(NOT_PARSING)
    assert not inspect_files(cyclomatic.COLLECTOR, tmp_path)
