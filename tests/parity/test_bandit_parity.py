"""Findings of each file, test and line, compared with `bandit -r`, with and without `--ignore-nosec`."""

import json
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from collectors.metrics import security
from collectors.source.source_tree import SourceFile
from collectors.tools.bandit_rules import BLACKLISTS, RULES, TEST_IDS
from domain.metrics.report import Report
from tests.parity.support.comparison import (
    CORPUS,
    PACKAGES,
    STDLIB,
    copy_python,
    run_file_collector,
    run_tool,
    write_files,
)

FIXTURES = Path(__file__).parent / "fixtures" / "bandit"
PACKAGES_ON_CI = ["bandit", "stevedore", "git", "gitdb", "arq", "msgpack"]

Found = tuple[str, str, int, str]
Reported = Counter[Found]
Place = tuple[int | None, int, int | None, bool]
"""Column, last line, end column, and whether the finding is on the first line of bandit's range."""

# Written here, because git and editors would change such bytes.
BYTES = {
    "crlf.py": b"import pickle  # nosec\r\nimport telnetlib\r\nimport pickle # nosec B401\r\n",
    "carriage_returns.py": b"import pickle  # nosec\rimport telnetlib\rimport ftplib  # nosec\rassert x\n",
    "mixed.py": b"import pickle\rimport telnetlib\nimport ftplib  # nosec\r\nassert x  # nosec\rassert y\n",
    "bom.py": b"\xef\xbb\xbfimport pickle  # nosec\nimport telnetlib\n",
    "latin_1.py": b'# coding: latin-1\nimport pickle  # nosec \xe9\npassword = "\xe9"\n',
    "form_feeds.py": b"import pickle  # nosec\n\x0cimport telnetlib  # nosec\n\x0c\nassert x\x0c  # nosec\n",
    "bidirectional.py": "# a \u202e b\nx = 1  # \u202e nosec\n".encode(),
    "bidirectional_nosec.py": 'x = "\u2028"\ny = "\u2066"  # nosec\n'.encode(),
    "right_to_left.py": "# coding: utf-8\n\nx = 'a'  # \u200f\n".encode(),
    "not_bidirectional.py": "# \u00e9 \u200e\n".encode(),
    "no_final_newline.py": b"if x:\n    assert y  # nosec\n  # nosec\nassert z",
    "nosec_only.py": b"# nosec",
    "empty.py": b"",
    "broken.py": b"def f(:\n    assert x\n",
    "python_2.py": b"import pickle  # nosec\nprint x\n",
    "not_utf_8.py": b"x = '\xe9'\nassert x\n",
    "a/b/__init__.py": b"def f(password='x'): assert f\n",
    "a/b/c.py": b"class A:\n    def f(self, password='x'): assert f\n",
}


def run_bandit(root: Path, *options: str) -> dict[str, Any]:
    """Return bandit's report."""
    output = run_tool("bandit", "-r", "-q", "-f", "json", "-x", "/nowhere", *options, root, codes=(0, 1))
    report: dict[str, Any] = json.loads(output)
    return report


def read_report(report: dict[str, Any], root: Path) -> tuple[Reported, set[str]]:
    """Return bandit's findings as (path, test, line, severity), and the files that bandit cannot read."""
    found = Counter(
        (item["filename"].removeprefix(f"{root}/"), item["test_id"], item["line_number"], item["issue_severity"])
        for item in report["results"]
    )
    return found, {item["filename"].removeprefix(f"{root}/") for item in report["errors"]}


def reported(report: Report) -> Reported:
    severities = {item: item.message.rpartition("(")[2].removesuffix(" severity)").upper() for item in report.findings}
    return Counter((item.path, item.rule, item.line, severities[item]) for item in report.findings)


def assert_places(report: Report, by_bandit: dict[str, Any], root: Path, unread: set[str]) -> None:
    """Compare columns and last lines. bandit's columns count UTF-8 bytes from 0, and are those of a node.

    A column is missing only where bandit's line is that of an argument, and an end where its range is that of a parent.
    """
    expected: dict[Found, list[Place]] = {}
    for item in by_bandit["results"]:
        path, line = item["filename"].removeprefix(f"{root}/"), item["line_number"]
        lines = SourceFile(path, (root / path).read_bytes()).text.split("\n")
        last = max(line, item["line_range"][-1])
        column = item["col_offset"] if item["test_id"] == "B613" else code_points(lines[line - 1], item["col_offset"])
        end = code_points(lines[last - 1], item["end_col_offset"]) if item["test_id"] != "B613" else None
        key = (path, item["test_id"], line, item["issue_severity"])
        expected.setdefault(key, []).append((column, last, end, item["line_range"][0] == line))
    without_column = 0
    for item in report.findings:
        if item.path in unread:
            continue
        places = expected[item.path, item.rule, item.line, item.severity.upper()]
        assert any(
            item.end_line == last and item.column in {column, None} and item.end_column in {end, None}
            for column, last, end, _ in places
        ), item
        assert item.column is not None or not all(first for *_, first in places)
        without_column += item.column is None
    assert without_column <= len(report.findings) / 10 + 1


def code_points(line: str, offset: int) -> int:
    return len(line.encode()[:offset].decode(errors="ignore")) + 1


def hidden_by_path(visible: Reported, everything: Reported) -> Counter[str]:
    hidden: Counter[str] = Counter()
    for path, *_ in (everything - visible).elements():
        hidden[path] += 1
    assert not visible - everything
    return hidden


def assert_same(root: Path) -> Report:
    """Compare all files, except those that only bandit cannot read."""
    report = run_file_collector(security.COLLECTOR, root)
    by_bandit = run_bandit(root)
    visible, unread = read_report(by_bandit, root)
    everything, _ = read_report(run_bandit(root, "--ignore-nosec"), root)
    ours = Counter({found: count for found, count in reported(report).items() if found[0] not in unread})
    assert ours == visible
    suppressed = {path: row["suppressed"] for path, row in report.per_file.items() if path not in unread}
    assert +Counter(suppressed) == hidden_by_path(visible, everything)
    assert_sums(report)
    assert_places(report, by_bandit, root, unread)
    return report


def assert_sums(report: Report) -> None:
    for key in ("high", "medium", "low"):
        in_files = Counter(path for path, _, _, severity in reported(report).elements() if severity == key.upper())
        assert {path: row[key] for path, row in report.per_file.items() if row[key]} == in_files
        assert report.aggregate[key] == in_files.total()
    assert report.aggregate["suppressed"] == sum(row["suppressed"] for row in report.per_file.values())


def blacklisted() -> dict[str, bytes]:
    """Return a file for each blacklist entry that imports or calls its names in every way."""
    files = {}
    for entry in (entry for entries in BLACKLISTS.values() for entry in entries):
        lines = []
        for name in entry["qualnames"]:
            module, _, member = name.rpartition(".")
            lines += [f"{name}(x)", f"import {name}", f"import {name} as z", f"__import__('{name}')", "z(x)", "z.y(x)"]
            if module:
                lines += [
                    f"from {module} import {member}",
                    f"{member}(x)",
                    f"from {module} import {member} as y",
                    "y()",
                ]
        files[f"{entry['id']}.py"] = "\n".join(lines).encode()
    return files


def test_fixtures_and_unusual_bytes_equal_bandit(tmp_path: Path) -> None:
    root = write_files(copy_python(FIXTURES, tmp_path / "tree"), BYTES)
    report = assert_same(root)
    assert report.aggregate["suppressed"] > 50
    assert any(gap.startswith("raising.py: security: bandit's test B202 failed: ") for gap in report.gaps)


def test_corpus_equals_bandit(tmp_path: Path) -> None:
    assert assert_same(copy_python(CORPUS, tmp_path / "tree")).per_file


def test_every_bandit_test_has_a_finding_in_a_fixture(tmp_path: Path) -> None:
    root = write_files(copy_python(FIXTURES, tmp_path / "tree"), {**BYTES, **blacklisted()})
    rules = {finding.rule for finding in assert_same(root).findings}
    assert set(TEST_IDS.values()) - rules == {"B001"}  # blacklist entries report under ids of their own
    assert {rule.test_id for found in RULES.values() for rule in found} <= rules | {"B001"}


@pytest.mark.parametrize("package", PACKAGES_ON_CI)
def test_package_equals_bandit(package: str, tmp_path: Path) -> None:
    report = assert_same(copy_python(PACKAGES / package, tmp_path / package))
    assert report.per_file


def test_file_too_deep_for_bandit_is_measured(tmp_path: Path) -> None:
    deep = b"import pickle\nx = " + b"- " * 1500 + b"'/tmp'\nassert x  # nosec\n"
    root = write_files(tmp_path / "tree", {"deep.py": deep})
    _, unread = read_report(run_bandit(root), root)
    assert unread == {"deep.py"}
    report = run_file_collector(security.COLLECTOR, root)
    assert report.per_file == {"deep.py": {"high": 0, "medium": 1, "low": 1, "suppressed": 1}}


def test_configuration_in_the_tree_is_ignored(tmp_path: Path) -> None:
    root = write_files(
        tmp_path / "tree",
        {
            "a.py": b"import pickle\nassert x\n",
            ".bandit": b"[bandit]\nskips = B101,B403\n",
            "pyproject.toml": b"[tool.bandit]\nskips = ['B101']\n",
            "setup.cfg": b"[bandit]\nskips = B101\n",
        },
    )
    report = run_file_collector(security.COLLECTOR, root)
    assert report.per_file["a.py"] == {"high": 0, "medium": 0, "low": 2, "suppressed": 0}


def test_version_is_the_installed_one() -> None:
    assert security.COLLECTOR.metric.version == version("bandit")


@pytest.mark.slow
def test_standard_library_equals_bandit(tmp_path: Path) -> None:
    report = assert_same(copy_python(STDLIB, tmp_path / "stdlib"))
    assert len(report.findings) > 3000
