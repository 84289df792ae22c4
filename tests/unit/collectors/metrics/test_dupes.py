"""dupes on small examples. `tests/parity` compares the lines with PMD's command line."""

from hashlib import blake2b
from typing import Any

import msgpack

from collectors.contract import FileCollector, Totals
from collectors.cpd.facts import PackedFile, pack_file
from collectors.cpd.lexer import lex
from collectors.metrics.dupes import COLLECTOR
from collectors.source.source_tree import SourceFile
from domain.metrics.report import Report


def facts(files: dict[str, str | bytes]) -> dict[str, Any]:
    return {
        path: msgpack.unpackb(
            msgpack.packb(COLLECTOR.inspect(SourceFile(path, text if isinstance(text, bytes) else text.encode())))
        )
        for path, text in files.items()
    }


def report(files: dict[str, str | bytes], sloc: int = 100) -> Report:
    inspected = facts(files)
    return COLLECTOR.summarize(inspected, Totals(sloc=dict.fromkeys(files, sloc)))


def rows(count: int, prefix: str = "x") -> str:
    return "".join(f"{prefix}{number}\n" for number in range(count))


def test_dupes_is_a_file_collector_that_needs_no_syntax() -> None:
    assert isinstance(COLLECTOR, FileCollector)
    assert not COLLECTOR.needs_syntax
    assert (COLLECTOR.metric.tool, COLLECTOR.metric.version) == ("pmd-cpd", "7.28.0")


def test_lines_of_a_block_in_two_files_are_counted() -> None:
    found = report({"a.py": "a\n" + rows(60) + "b\n", "b.py": rows(30) + "\n# c\n" + rows(60)[rows(30).__len__() :]})
    assert found.aggregate == {
        "duplicate_lines": 122,
        "duplicate_pct": 61.0,
        "duplication_score": 39.0,
        "suppressed": 0,
    }
    assert found.per_file == {"a.py": {"lines": 60, "suppressed": 0}, "b.py": {"lines": 62, "suppressed": 0}}
    assert [(finding.rule, finding.path, finding.line, finding.message) for finding in found.findings] == [
        ("duplicate-block", "a.py", 2, "60 lines (60 tokens) also at b.py:1"),
        ("duplicate-block", "b.py", 1, "62 lines (60 tokens) also at a.py:2"),
    ]
    assert not found.gaps


def smallest_window_hash(tokens: list[str]) -> str:
    digests = [blake2b(token.encode(), digest_size=8).digest() for token in tokens]
    windows = [b"".join(digests[start : start + 50]) for start in range(len(digests) - 49)]
    return min(blake2b(window, digest_size=8).hexdigest() for window in windows)


def test_identity_of_a_block_is_the_smallest_hash_of_its_windows() -> None:
    block = rows(70)
    found = report({"a.py": block, "b.py": "y = 1\n" + block})
    identity = smallest_window_hash(block.split())
    assert [(item.line, item.end_line, item.identity) for item in found.findings] == [
        (1, 70, identity),
        (2, 71, identity),
    ]
    inner = next(size for size in range(50, 70) if smallest_window_hash(block.split()[:size]) == identity)
    shorter = rows(inner)
    grown = report({"a.py": shorter, "c.py": "z\n\n" + shorter})
    assert {item.identity for item in grown.findings} == {identity}  # the block may grow and move


def test_severity_of_a_block_follows_from_its_lines() -> None:
    found = report({"a.py": rows(100), "b.py": rows(100).replace("\n", " ", 60)})
    assert [(item.severity, item.line_hash) for item in found.findings] == [("high", None), ("medium", None)]


def test_line_in_several_duplications_counts_once() -> None:
    found = report({name: rows(60) for name in ("a.py", "b.py", "c.py")})
    assert found.aggregate["duplicate_lines"] == 180
    assert [finding.message for finding in found.findings] == [
        "60 lines (60 tokens) also at b.py:1 and 1 more",
        "60 lines (60 tokens) also at a.py:1 and 1 more",
        "60 lines (60 tokens) also at a.py:1 and 1 more",
    ]


def test_finding_is_the_longest_block_that_begins_on_its_line() -> None:
    found = report({"a.py": rows(80), "b.py": rows(60), "c.py": rows(80)})
    assert [(finding.path, finding.message) for finding in found.findings] == [
        ("a.py", "80 lines (80 tokens) also at c.py:1"),
        ("b.py", "60 lines (60 tokens) also at a.py:1 and 1 more"),
        ("c.py", "80 lines (80 tokens) also at a.py:1"),
    ]


def test_blank_lines_between_two_blocks_are_not_counted() -> None:
    left, right = rows(50, "l"), rows(50, "r")
    found = report({"a.py": "a\n" + left + "\n\n" + right + "b\n" + left + "c\n" + right})
    assert found.aggregate["duplicate_lines"] == 200


def test_lines_of_a_multiline_last_token_are_counted() -> None:
    text = rows(49) + "'''a\n\n\nb'''\n"
    assert report({"a.py": text, "b.py": "x\n" + text}).per_file == {
        "a.py": {"lines": 53, "suppressed": 0},
        "b.py": {"lines": 53, "suppressed": 0},
    }


def test_block_on_one_line_counts_one_line() -> None:
    found = report({"a.py": rows(60).replace("\n", ";") + "a\n", "b.py": rows(60).replace("\n", ";") + "b\n"})
    assert found.aggregate["duplicate_lines"] == 2
    assert found.findings[0].message == "1 line (120 tokens) also at b.py:1"


def test_nothing_to_measure() -> None:
    for files in ({}, {"a.py": ""}, {"a.py": "# c\n"}):
        assert report(dict(files), sloc=0).aggregate == {
            "duplicate_lines": 0,
            "duplicate_pct": 0.0,
            "duplication_score": 100.0,
            "suppressed": 0,
        }


def test_percentage_above_100_scores_zero() -> None:
    found = report({"a.py": rows(60), "b.py": rows(60)}, sloc=50)
    assert (found.aggregate["duplicate_pct"], found.aggregate["duplication_score"]) == (120.0, 0.0)


def test_file_that_pmd_cannot_read_is_a_gap() -> None:
    found = report({"a.py": rows(60), "b.py": rows(60) + "?\n", "c.py": b"\xff\xfea\x00"})
    assert found.aggregate["duplicate_lines"] == 0
    assert found.per_file == {"a.py": {"lines": 0, "suppressed": 0}}
    assert found.gaps == [
        "b.py: dupes skipped: lexical error at line 61: the character U+003F",
        "c.py: dupes skipped: lexical error at line 1: the character U+FFFD",
    ]


def test_file_that_python_cannot_parse_is_compared() -> None:
    text = "print 'a'\n" + rows(60) + "exec 'b'\n"
    assert report({"a.py": text, "b.py": text}).aggregate["duplicate_lines"] == 124


def test_lines_between_cpd_comments_are_counted_as_suppressed() -> None:
    found = report({"a.py": rows(60), "b.py": "# CPD-OFF\n" + rows(60) + "# CPD-ON\n" + rows(5, "y")})
    assert found.aggregate["duplicate_lines"] == 0
    assert found.aggregate["suppressed"] == found.per_file["b.py"]["suppressed"] == 60


def test_files_are_compared_in_the_order_of_java() -> None:
    """The first file limits the matches of two later ones: `a.py` before `a/b.py`, U+1D4B3 before U+FFEE."""
    files = {"a/b.py": "p\n" + rows(60) + "q\n", "b.py": "r\n" + rows(60) + "s\n", "a.py": "t\n" + rows(53) + "u\n"}
    assert report(dict(sorted(files.items()))).aggregate["duplicate_lines"] == 3 * 53
    files = {
        "\uffee.py": "p\n" + rows(60) + "q\n",
        "\U0001d4b4.py": "r\n" + rows(60) + "s\n",
        "\U0001d4b3.py": "t\n" + rows(53) + "u\n",
    }
    assert report(dict(sorted(files.items()))).aggregate["duplicate_lines"] == 3 * 53


def test_approximate_number_is_a_gap(monkeypatch: Any) -> None:
    monkeypatch.setattr("collectors.cpd.matcher.TREE_STEP_LIMIT", 0)
    found = report({name: rows(60) for name in ("a.py", "b.py", "c.py")})
    assert found.aggregate["duplicate_lines"] == 180
    assert found.gaps == ["dupes approximate: 1 blocks repeat too often for PMD's full rule"]


def test_facts_are_deterministic_and_small() -> None:
    packed = pack_file(lex("def f(x):\n    return f(x)\n"))
    assert packed["digests"][:8].hex() == "4a32b093dc64c977"
    text = "".join(f"value_{n % 50} = call(value_{n % 40}, 'text', option={n % 9})\n" for n in range(500))
    assert len(msgpack.packb(pack_file(lex(text)))) < len(text) * 2 / 3


def test_line_range_is_read_from_facts() -> None:
    text = "\n\nx\n'''a\nb''' y\n\n" + "z\n" * 300
    opened = PackedFile(msgpack.unpackb(msgpack.packb(pack_file(lex(text)))))
    assert len(opened.tokens) == 303
    assert opened.line_range(0, 0) == (3, 3)
    assert opened.line_range(0, 1) == (3, 5)
    assert opened.line_range(2, 3) == (5, 7)
    assert opened.line_range(302, 302) == (306, 306)


def test_inconsistent_facts_do_not_match_the_schema() -> None:
    valid = pack_file(lex("x = 1\ny = '''a\nb'''\n"))
    assert COLLECTOR.facts_schema.matches(valid)
    forged: dict[str, Any] = {
        "digests": valid["digests"][:-8],  # a token refers to a digest that is missing
        "tokens_per_line": ["B", valid["tokens_per_line"][1] + b"\x01"],  # more tokens on lines than in the file
        "tokens": ["B", valid["tokens"][1][:-1]],
        "line_breaks": ["B", valid["line_breaks"][1] + b"\x01"],  # half a pair
    }
    for name, value in forged.items():
        assert not COLLECTOR.facts_schema.matches({**valid, name: value}), name
    assert COLLECTOR.facts_schema.matches(pack_file(lex("")))
