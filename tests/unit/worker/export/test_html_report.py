"""The HTML report: what it says, in which order, and what it says of parts that a run does not have."""

import re
import subprocess
import sys
from typing import Any

import pytest

from tests.unit.worker.export.html_pages import Page, page_of
from tests.unit.worker.export.sample_reports import early_run, file_node, finding, large_run, rejected_run, tree
from worker.export.html.report import BYTES_LIMIT

SECTIONS = [
    "gate", "quality", "changes", "insights", "files", "findings", "hotspots", "coupling", "ownership", "trend",
    "unmeasured",
]  # fmt: skip


@pytest.fixture(scope="module")
def rejected() -> Page:
    return page_of(rejected_run())


@pytest.fixture(scope="module")
def early() -> Page:
    return page_of(early_run())


def test_sections_are_in_the_order_of_their_weight_and_all_are_linked(rejected: Page, early: Page) -> None:
    ids = [attributes["id"] for tag, attributes in rejected.elements if tag == "section"]
    assert ids == SECTIONS
    assert [href.removeprefix("#") for href in rejected.values("href")] == SECTIONS
    assert [attributes["id"] for tag, attributes in early.elements if tag == "section"] == [
        name for name in SECTIONS if name != "trend"
    ]


def test_headline_names_project_commit_date_and_author(rejected: Page) -> None:
    assert rejected.text("header").startswith(
        "Shop - vibe8 report vibe8 code report Shop Author: AI (model-7), as declared "
        "Repository https://github.com/example/shop Branch pricing Commit 4f2a9b7c1d3e "
        "Committed 2026-11-30 17:40 UTC Analysed 2026-11-30 18:02 UTC Source files 49 files, 5,691 lines "
    )


def test_gate_shows_each_condition_with_its_reason_and_findings_and_failures_first(rejected: Page) -> None:
    text = rejected.text("gate")
    assert text.startswith(
        "Quality gate Rejected 5 conditions: 2 failed, 1 not evaluated, 2 passed failed New findings (medium or above) "
    )
    assert (
        "5 findings of medium severity or above are new or have become worse; at most 0 may be Measured: 5; at most 0 "
        "high shop/payments/service.py:40:5 Use of possibly insecure function"
    ) in text
    assert "failed Quality score decrease the quality score fell from 74.9 to 73.2" in text
    assert "not evaluated New findings per 100 lines (low, lint, dead code)" in text
    assert "passed Duplicated share increase" in text
    assert text.endswith("Weaknesses 2 new security findings in shop/payments/service.py")


def test_gate_counts_the_findings_that_a_condition_does_not_name() -> None:
    document = rejected_run()
    answer = document["review"]["criteria"][0]
    answer |= {"value": 34, "findings": answer["findings"] * 2}
    assert "10 of 34 findings are shown." in page_of(document).text("gate")


def test_quality_has_grade_and_percentiles_among_packages(rejected: Page) -> None:
    text = rejected.text("quality")
    assert text.startswith("Quality and metrics Quality score 73.2 of 100 C ")
    assert "Compared with 50 well-known packages better than Quality score 12 % Average complexity 20 %" in text


def test_each_metric_has_a_tile_with_the_numbers_of_source_files(rejected: Page) -> None:
    text = rejected.text("quality")
    assert "lint ruff 61 issues 2 suppressed score 95.1 of 100 source files whole tree: 61 issues, 2 suppressed" in text
    assert "security bandit 4 high 13 medium, 0 low, 1 suppressed score 0.0 of 100 source files" in text
    assert "size radon 49 files 5,691 source lines, 116 a file source files whole tree: 65 files, 7,188 source" in text
    assert "churn git 812 commits 60,118 lines changed score 0.0 of 100 whole tree" in text
    assert "deps packaging not measured failed" in text
    assert "earlier run: 212 duplicated lines (2.4 %) partly measured" in text


def test_changes_name_the_baseline_and_count_by_metric_and_severity(rejected: Page) -> None:
    text = rejected.text("changes")
    assert "Baseline: run 158b6599-0454-41dc-a00c-df9c33afd9c2, the newest earlier run of the same branch." in text
    assert "In source files 8 findings are new, 6 are fixed, 0 updated, 0 moved and 393 unchanged." in text
    # The columns are high, medium, low and info, new and then fixed; updated, moved, and new less fixed.
    assert "docs 0 0 0 1 0 0 0 4 0 0 \N{MINUS SIGN}3 lint 0 1 1 0 0 0 1 0 0 0 +1" in text


def test_changes_of_tests_are_apart_and_uncompared_findings_are_explained() -> None:
    document = rejected_run()
    document["comparison"] |= {
        "counts": {"lint": {"low": {"new": {"source": 2, "test": 5}, "not_measured": {"source": 3}}}},
        "baseline_counts": {"lint": {"low": {"fixed": {"test": 1}, "tool_changed": {"source": 4}}}},
        "tool_versions": {"ruff": ["0.1", None]},
    }
    text = page_of(document).text("changes")
    assert "2 findings are new, 0 are fixed" in text
    assert "In other files 5 are new and 1 fixed." in text
    assert "3 findings of this run and 0 of the earlier one could not be compared" in text
    assert "0 findings of this run and 4 of the earlier one differ because a tool changed" in text
    assert text.endswith("Tools of another version: ruff 0.1 → none.")


def test_insights_say_how_sure_they_are_and_what_would_refute_them(rejected: Page) -> None:
    text = rejected.text("insights")
    assert (
        "regression confidence 0.79 5 serious findings more, 1 fewer Of findings of medium or high severity in source "
        "files, 5 are new and 1 are fixed. shop/payments/service.py:40 Use of possibly insecure function"
    ) in text
    assert (
        "Would be refuted if: the new findings are false alarms, or stood in the baseline under another name." in text
    )


def test_treemap_draws_source_files_with_names_and_numbers(rejected: Page) -> None:
    text = rejected.text("files")
    assert "shop/orders/service.py: 303 source lines, health 2" in text
    assert "shop/api/v2/legacy.py: 310 source lines, health not measured" in text
    assert "49 source files with source lines, each in a cell of its own." in text
    assert "tests/" not in text


def test_worst_files_are_sorted_and_files_without_a_score_are_named(rejected: Page) -> None:
    text = rejected.text("files").partition("Source files in the worst health")[2]
    assert "1.6 shop/api/v2/errors.py 108 6 3 1 92 50 0 0 324 2.2 shop/orders/service.py 303" in text
    assert "25 of 48 source files with a health score are shown." in text
    assert "1 source file has no health score, since something was not measured: shop/api/v2/legacy.py." in text


def test_findings_are_grouped_with_new_and_severe_ones_first(rejected: Page) -> None:
    text = rejected.text("findings")
    assert "In source files: 401 of 401 findings, grouped" in text
    security = text.partition("security ")[2]
    assert security.startswith("24 findings, 2 new: 3 high, 21 medium Most frequent: B608 21, B307 3 severity state")
    assert security.partition("finding ")[2].startswith(
        "high new B307 shop/payments/service.py:40:5 in Order.total Use of possibly insecure function"
    )
    assert "Fixed findings of the earlier run, in any file" in text


def test_finding_that_became_worse_says_its_severity_before() -> None:
    document = rejected_run()
    document["findings"]["items"][-1] |= {"state": "updated", "severity": "high", "severity_before": "low"}
    text = page_of(document).text("findings")
    assert text.count("was low") == 1
    assert "high was low updated missing-docstring" in text


def test_findings_of_other_roles_are_counted_and_not_listed() -> None:
    nodes = [file_node("a.py", health=50.0, sloc=9), file_node("test_a.py", health=50.0, sloc=9, role="test")]
    found = [finding(("lint", "F401", "low"), path, 1) for path in ("a.py", "test_a.py", "test_a.py")]
    text = page_of(
        rejected_run() | {"file_tree": tree(nodes), "findings": {"total": 7, "items": found}, "comparison": None}
    ).text("findings")
    assert "In source files: 1 of 7 findings, grouped" in text
    assert "Not listed: 2 in tests." in text
    assert "test_a.py" not in text


def test_hotspots_are_drawn_and_listed(rejected: Page) -> None:
    text = rejected.text("hotspots")
    assert "changed more often than this percentage of the source files" in text
    assert "no. file score health commits percentile 1 shop/orders/service.py" in text
    assert "15 of 18 hotspots are shown." in text


def test_coupling_lists_hidden_pairs_and_counts_the_expected_ones(rejected: Page) -> None:
    text = rejected.text("coupling")
    assert "3 pairs of files that change together for such a known reason are not listed." in text
    assert text.count(" 24 / 20 ") == 9


def test_ownership_has_truck_factor_and_authors(rejected: Page) -> None:
    text = rejected.text("ownership")
    assert "Truck factor 2 Ada Obi, Lin Wei 84 % of the source files have an author" in text
    assert "Truck factor without people silent for 12 months 1 Lin Wei 61 %" in text
    assert "João Silva" in text
    assert "named as author or co-author of 212 of 700 commits, which added 33 % of the lines." in text


def test_trend_has_a_line_for_each_number(rejected: Page) -> None:
    text = rejected.text("trend")
    assert "14 runs, from 2026-11-01 10:00 UTC (" in text
    assert "No earlier run counts: another version of ruff." in text
    assert text.index("quality score 71 70 to 76 70") < text.index("lint total 89 76") < text.index("docs coverage pct")


def test_trend_shows_what_changed_and_the_main_number_of_a_metric_before_its_others() -> None:
    names = [f"number{number:02}" for number in range(15)]
    first = {"quality_score": 1, "security": {"high": 1, "security_score": 90}, "lint": dict.fromkeys(names, 1)}
    last = {"quality_score": 1, "security": {"high": 2, "security_score": 80}, "lint": dict.fromkeys(names, 1)}
    points = [{"values": first}, {"values": last}]
    page = page_of(rejected_run() | {"trend": {"points": points, "reason": None}})
    text = page.text("trend")
    order = ["quality score 1", "security security score 90", "security high 1", "lint number00 1", "lint number08 1"]
    assert [text.index(name) for name in order] == sorted(text.index(name) for name in order)
    assert "12 of 18 numbers" in text
    assert "No earlier run counts" not in text


@pytest.mark.parametrize(
    ("trend", "said"),
    [
        ({"points": [], "reason": "this run is of no project"}, "None is known: this run is of no project."),
        ({"points": [{"values": {"a": 1}}], "reason": None}, "None is known: there is no earlier run of this branch."),
        ({"points": [{"values": {"a": 1}}], "reason": "another version of ruff"}, "None is known: another version of"),
        ({"points": [{"values": {}}] * 2, "reason": None}, "None is known: no number of two runs is known."),
    ],
)
def test_missing_trend_has_a_reason(trend: dict[str, Any], said: str) -> None:
    page = page_of(rejected_run() | {"trend": trend})
    assert said in page.text("trend")
    assert "<svg" not in page.text("trend")


def test_what_was_not_measured_is_said_with_the_tools(rejected: Page) -> None:
    text = rejected.text("unmeasured")
    assert "1 of 65 files could not be parsed. 1 file or directory was left out before the analysis." in text
    assert "Metric deps: failed. Metric dupes: partial." in text
    assert "Files that do not parse shop/api/v2/legacy.py SyntaxError: invalid syntax (line 3)" in text
    assert "Left out before the analysis 1 larger than 1 MB static/bundle.py larger than 1 MB" in text
    assert "Tools radon 6.0.1" in text or "Tools bandit" in text


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("header", "Branch not recorded"),
        ("header", "Author not declared"),
        ("gate", "Quality gate Not evaluated no gate judged this run"),
        ("quality", "Quality score not measured Percentiles and grade: not known"),
        ("quality", "dead code vulture not measured failed"),
        ("changes", "compared with no earlier run, so nothing is known about what is new or fixed"),
        ("insights", "Not measured: this run has no insights."),
        ("files", "app.py: 12 source lines, health not measured"),
        ("files", "1 source file has no health score, since something was not measured: app.py."),
        ("findings", "lint 1 finding: 1 low Most frequent: F401 1"),
        ("hotspots", "None is known: this run has no history."),
        ("coupling", "None is known: this run has no history."),
        ("ownership", "Not measured: this run has no history."),
        ("unmeasured", "Metric docs: failed."),
    ],
)
def test_early_run_shows_what_is_missing_as_not_measured(early: Page, section: str, said: str) -> None:
    assert said in early.text(section)


def test_document_of_a_job_without_result_is_all_not_measured() -> None:
    keys = ("metrics", "file_tree", "findings", "completeness", "tool_versions", "timings_ms", "history", "comparison")
    page = page_of({"job": {}, "source": {}, "errors": ["it failed"], **dict.fromkeys(keys)})
    assert page.text("quality").count("not measured") == 11  # the score and ten metrics
    assert "Not measured: no source file has source lines." in page.text("files")
    assert "This run does not say what was measured." in page.text("unmeasured")
    assert "it failed" in page.text("unmeasured")


def test_large_run_fits_and_each_cut_is_counted() -> None:
    page = page_of(large_run(findings=50_000, files=10_000))
    assert len(page.markup.encode()) <= BYTES_LIMIT
    text = page.text("findings")
    assert text.count("200 of 6,250 findings are shown.") == 4
    assert text.count("200 of 12,500 findings are shown.") == 2  # lint and security, of two rules each
    assert "In source files: 50,000 of 50,000 findings" in text
    assert "25 of 10,000 source files with a health score are shown." in page.text("files")
    [drawn] = re.findall(r"([\d,]+) of [\d,]+ source files have a cell of their own", page.text("files"))
    assert drawn == "2,000"


@pytest.mark.parametrize("text", ["<&\"'>" * 100, "\U000e0001" * 300, "\u0e01" * 4_000 + "/", "a/" * 500])
def test_report_of_long_hostile_texts_fits(text: str) -> None:
    page = page_of(large_run(findings=5_000, files=1_000, text=text))
    assert len(page.markup.encode()) <= BYTES_LIMIT
    assert " of 625 findings are shown." in page.text("findings")


def test_list_that_was_cut_when_it_was_stored_is_counted() -> None:
    document = rejected_run()
    document["findings"]["total"] += 1_000
    page = page_of(document)
    assert "In source files: 401 of 1,401 findings" in page.text("findings")
    assert "1,000 findings were counted and not stored" in page.text("unmeasured")


def test_template_engine_is_loaded_for_this_form_only() -> None:
    code = "import sys, worker.client, worker.export.formats; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
