"""Text output of results and jobs: unknown values are never shown as good ones."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from collectors.engine.discovery import declarations
from worker.cli.output.grid import Grid
from worker.cli.output.jobs import format_age, job_history, show_all_jobs, show_job, show_jobs
from worker.cli.output.results.metrics import metrics_grid


def row_of(name: str, aggregate: dict[str, Any], state: str = "ok") -> list[str]:
    document = {"metrics": {name: aggregate}, "completeness": {"collectors": {name: state}}}
    (row,) = metrics_grid(document, declarations()).rows
    return list(row)


def package(outdated: bool | None, current: str | None = "1.0", latest: str | None = "2.0") -> dict[str, Any]:
    return {
        "package": "p", "installed": True, "outdated": outdated, "current_version": current, "latest_version": latest
    }  # fmt: skip


UNPINNED = package(None, None)
UNASKED = package(None, None, None)


@pytest.mark.parametrize(
    ("health", "words"),
    [
        ([], "0 packages"),
        ([package(False)], "1 package (0 outdated)"),
        ([package(True), package(False), package(True)], "3 packages (2 outdated)"),
        ([package(True), UNPINNED, UNPINNED], "3 packages (1 outdated, 2 not pinned; newest versions found for 3)"),
        ([UNPINNED] * 13, "13 packages (13 not pinned; newest versions found for 13)"),
        ([UNASKED, UNASKED], "2 packages (2 not pinned; newest versions found for 0)"),
        ([package(None, "1.0", None)], "1 package (newest versions found for 0)"),
    ],
)
def test_packages_are_described_by_what_is_known(health: list[dict[str, Any]], words: str) -> None:
    *_, text = row_of("deps", {"total_modules": 21, "package_health": health})
    assert text == f"21 modules imported, {words}"


def test_failed_collector_shows_no_numbers() -> None:
    aggregate = {"total": None, "suppressed": None, "linting_score": None}
    name, score, state, text = row_of("lint", aggregate, "failed")
    assert (name, score, text) == ("lint", "", "[dim]not measured[/dim]")
    assert "red" in state


def test_a_tree_without_history_says_so_instead_of_ok() -> None:
    aggregate = {"total_commits": None, "totalChurn": None, "churn_score": None}
    assert row_of("churn", aggregate)[1:] == ["", "no history", "[dim]not measured[/dim]"]
    assert "red" in row_of("churn", aggregate, "failed")[2]


def test_null_among_numbers_is_a_question_mark() -> None:
    aggregate = {"duplicate_lines": 3, "duplicate_pct": None, "duplication_score": None}
    assert row_of("dupes", aggregate, "partial")[1:] == ["", "[yellow]partial[/yellow]", "3 duplicated lines (? %)"]


def test_unknown_collector_is_shown_as_json() -> None:
    assert row_of("novelty", {"items": [1]}) == ["novelty", "", "[green]ok[/green]", "{'items': [1]}"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (172_800, "2 d")],
)
def test_age_is_shown_in_its_largest_unit(seconds: float, words: str) -> None:
    assert format_age(seconds) == words


def test_history_of_a_job_that_waits_for_a_retry() -> None:
    def at(second: int) -> str:
        return f"2026-01-01T00:00:{second:02}+00:00"

    job = {
        "created_at": at(0),
        "started_at": at(5),
        "finished_at": None,
        "cancel_requested_at": None,
        "refunded_at": None,
        "run_after": at(30),
        "status": "pending",
        "attempt": 2,
        "error_message": None,
        "worker_id": "host-1a2b",
        "attempt_errors": [
            {"attempt": 1, "at": at(3), "kind": "ServiceUnavailableError", "message": "the git host is away"},
            {"attempt": 2, "at": at(9), "kind": "AnalysisKilledError", "message": "killed"},
        ],
    }
    assert [(moment[17:19], text) for moment, text in job_history(job)] == [
        ("00", "submitted"),
        ("03", "attempt 1 failed: the git host is away (ServiceUnavailableError)"),
        ("05", "attempt 2 started on host-1a2b"),
        ("09", "attempt 2 failed: killed (AnalysisKilledError)"),
        ("30", "attempt 3 is due"),
    ]


@pytest.mark.parametrize("width", [16, 30, 40, 60, 61, 80, 120])
def test_nothing_of_a_table_is_cut_on_a_narrow_terminal(width: int) -> None:
    row = ("58e5aa1c", "Q" * 15, "Z" * 9, "107799", "12 min", "X" * 30, "")
    grid = Grid(headings=("job", "owner", "status", "pid", "age", "source", "what"), numbers=frozenset({"pid", "age"}))
    grid.rows.append(row)
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False)
    with console.capture() as captured:
        grid.show(console)
    text = captured.get()
    for whole in ("58e5aa1c", "107799", "12 min", "owner", "source"):
        assert whole in text
    assert [text.count(letter) for letter in "QZX"] == [15, 9, 30]
    assert ("───" in text) is (width >= 61)
    if width >= 61:
        assert max(len(line) for line in text.splitlines()) <= width


def test_a_row_of_another_program_without_a_source_is_shown_with_a_dash() -> None:
    now = datetime(2026, 12, 1, tzinfo=UTC)
    absent = ("worker_id", "started_at", "finished_at", "result_run_id", "notify_url", "refunded_at", "run_after")
    job = dict.fromkeys((*absent, "source", "cancel_requested_at"), None) | {
        "job_id": "36ab876016124c02a4d340b1f46145f4", "owner": "ann@example.org", "status": "failed", "attempt": 1,
        "created_at": now.isoformat(), "source_kind": "github", "source_metadata": {}, "attempt_errors": [],
        "error_message": "the upload is empty",
    }  # fmt: skip
    console = Console(width=200, record=True)
    show_jobs(console, [job], now)
    show_all_jobs(console, [job], now)
    show_job(console, job)
    text = console.export_text()
    assert "None" not in text
    assert "- (github)" in text
