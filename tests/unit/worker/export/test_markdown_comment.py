"""The comment on a pull request: its parts, its limit, and hostile text in it."""

import re
from typing import Any

import pytest
from hypothesis import given

from domain.findings.comparison import compare_runs
from domain.findings.measured_run import MeasuredRun
from tests.fuzz.generators import fuzz_settings
from tests.unit.worker.export.sample_runs import (
    HOSTILE,
    document,
    export,
    file_node,
    finding,
    hostile_documents,
    old_finding,
)
from worker.export.markdown import CHARACTERS_LIMIT, FINDINGS_SHOWN
from worker.export.markdown_text import code, plain

MEASURED = ("metrics", "findings", "file_tree", "completeness", "tool_versions")
GATE: list[dict[str, Any]] = [
    {"kind": "duplicated_share_increase", "status": "pass", "reason": "the share stays 1.0"},
    {
        "kind": "new_findings",
        "status": "fail",
        "reason": "1 finding of medium severity or above is new",
        "findings": [finding("security", "B307", line=7, message="use of eval")],
    },
]
COUNTS = {"lint": {"low": {"new": {"source": 2, "test": 1}, "unchanged": {"source": 5}}}, "docs": {}}
BEFORE = {"lint": {"low": {"fixed": {"source": 4}, "unchanged": {"source": 5}}}}


def comment_of(result: dict[str, Any]) -> str:
    return export(result, "markdown").decode()


def test_comment_says_the_verdict_and_why() -> None:
    text = comment_of(document(review={"verdict": "REJECTED", "criteria": GATE}))
    assert text.startswith(
        "## vibe8: rejected\n\n`https://github.com/o/r`, `main`, `aaaaaaaaaaaa`, 1 files, quality 50.0 "
    )
    assert (
        "### Gate\n\n- **fail**: 1 finding of medium severity or above is new\n  - `a.py:7` `use of eval`\n"
        "- **pass**: the share stays 1.0\n"
    ) in text


def test_comment_counts_changes_by_metric() -> None:
    changed = {"counts": COUNTS, "baseline_counts": BEFORE, "fixed": {"total": 0, "items": []}}
    text = comment_of(document(finding(state="new"), finding(rule="F811", state="unchanged"), comparison=changed))
    assert "| metric | new | updated | moved | fixed |\n|---|---|---|---|---|\n| lint | 2 | 0 | 0 | 4 |\n" in text
    assert "In tests and other files that are not source: 1 new, 0 fixed.\n" in text
    assert "- low `a.py:3` `lint F401` `` `os` imported but unused ``\n" in text
    assert "F811" not in text


def test_comment_shows_the_metrics_of_source_files() -> None:
    whole, source = {"total": 900, "suppressed": 0, "linting_score": 1.0}, {"total": 3, "suppressed": 0}
    shown = {**whole, "by_role": {"source": {**source, "linting_score": 97.5}, "test": whole}}
    assert "| lint | 97.5 | 3 issues, 0 suppressed |\n" in comment_of(document(metrics={"lint": shown}))


def test_comment_without_a_change_says_so() -> None:
    text = comment_of(document(comparison={"counts": {}, "baseline_counts": {}}))
    assert "None is new, updated, moved or fixed." in text


def test_comment_does_not_call_unchanged_what_was_not_compared() -> None:
    before, after = (
        MeasuredRun(**{key: document(*found)[key] for key in MEASURED})
        for found in ([old_finding()], [finding(), finding(line=9)])
    )
    compared = compare_runs(before, after)
    result = document(comparison=compared.document) | {"findings": {"total": 2, "items": compared.items}}
    assert (
        "None is new, updated, moved or fixed.\n\nNot compared, since one of the runs did not measure them: "
        "2 findings of this run, 1 of the earlier one.\n"
    ) in comment_of(result)


def test_comment_has_each_metric_and_the_worst_files() -> None:
    result = document(files=[file_node("a.py", health=70.0), file_node("b.py", health=20.5)])
    result["metrics"]["security"] = {"high": 1, "medium": 0, "low": 0, "suppressed": 0, "security_score": 90.0}
    result["completeness"]["collectors"]["security"] = "partial"
    text = comment_of(result)
    assert "| security | 90.0 | 1 high, 0 medium, 0 low, 0 suppressed (partial) |" in text
    assert "| lint |  | not measured |" in text
    assert text.index("- `b.py` 20.5") < text.index("- `a.py` 70.0")


def test_comment_says_what_was_not_measured() -> None:
    result = document(errors=["a.py: does not parse"])
    result["findings"]["total"] = 3
    result["completeness"]["skipped_total"] = 2
    text = comment_of(result)
    assert "- 2 files or directories were skipped\n- 3 findings were not stored\n- `a.py: does not parse`\n" in text


def test_findings_are_the_worst_of_the_source_files_and_the_rest_is_counted() -> None:
    found = [finding(line=line) for line in range(1, FINDINGS_SHOWN + 51)]
    found += [finding(severity="high", path="z.py"), finding(path="test_a.py", rule="T1")]
    text = comment_of(document(*found, files=[file_node("a.py"), file_node("test_a.py", role="test")]))
    listed = [line for line in text.splitlines() if " `lint F401` " in line]
    assert len(listed) == FINDINGS_SHOWN
    assert listed[0].startswith("- high `z.py:3`")
    assert f"{FINDINGS_SHOWN} of {FINDINGS_SHOWN + 51} are shown." in text
    assert "T1" not in text


@pytest.mark.parametrize("char", ["x", "\u0e01", "\U0001f469", "`", "|"])
def test_comment_has_at_most_60_000_characters_and_closes_what_it_opens(char: str) -> None:
    found = [finding(path=char * 4_000, message=char * 300, line=line) for line in range(1, 500)]
    gate = [GATE[1] | {"findings": found[:10]}] * 50
    result = document(
        *found,
        files=[file_node(char * 4_000)] * 30,
        errors=[char * 4_000] * 30,
        review={"verdict": "REJECTED", "criteria": gate},
    )
    text = comment_of(result)
    assert 10_000 < len(text) <= CHARACTERS_LIMIT
    assert len(text.encode("utf-16-le")) // 2 <= CHARACTERS_LIMIT
    assert text.count("<details>") == text.count("</details>") >= 2
    assert "of 499 are shown" in text or "499 entries are left out" in text


def spans_removed(text: str) -> str:
    """Return a line without its code spans and escapes, read as CommonMark reads them."""
    return re.sub(r"\\.", "", re.sub(r"(?<![`\\])(`+)(?!`)(.+?)(?<!`)\1(?!`)", "", text))


def check_comment(text: str) -> None:
    """Assert that no line has markup of others outside of code spans."""
    for line in text.splitlines():
        rest = spans_removed(line)
        for tag in ("<details><summary>", "</summary>", "</details>"):
            rest = rest.replace(tag, "")
        assert not re.search(r"[<>`@]|\]\(|!\[|://", rest), line


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text(text: str) -> None:
    found = finding(text or "x", text, path=f"a{text}", message=text, state="new")
    changed = {"counts": {text: {"low": {"new": {"source": 1}}}}, "baseline_counts": {}}
    gate = [{"kind": "new_findings", "status": "fail", "reason": text, "findings": [found]}]
    source = {"git_repo_url": text, "git_branch": text, "git_commit_sha": text}
    result = document(
        found, files=[file_node(text)], errors=[text], source=source, comparison=changed, review={"criteria": gate}
    )
    made = comment_of(result)
    check_comment(made)
    assert "FORGED" not in {line.strip() for line in made.splitlines()}
    [row] = re.findall(r"(?m)^\|(?! metric)(?!---)(.*1 \| 0 \| 0 \| 0 \|)$", made)
    assert len(re.findall(r"(?<!\\)\|", row)) == 5


def test_hostile_documents_give_comments_of_text() -> None:
    @fuzz_settings(40)
    @given(result=hostile_documents())
    def check(result: dict[str, Any]) -> None:
        check_comment(comment_of(result))

    check()


def test_code_spans_hold_any_backticks() -> None:
    assert code("a", 9) == "`a`"
    assert code("a`b", 9) == "``a`b``"
    assert code("`a", 9) == "`` `a ``"
    assert code("``", 9) == "``` `` ```"
    assert code("", 9) == "` `"


def test_plain_text_has_no_markup() -> None:
    assert plain("a_b *c* <d> [e](f) g|h & @i") == r"a\_b \*c\* &lt;d&gt; \[e\](f) g\|h &amp; (at)i"
