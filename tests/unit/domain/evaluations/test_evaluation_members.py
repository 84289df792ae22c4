"""What an evaluation keeps of its members, and the ten measures of a run."""

import json
from typing import Any
from uuid import UUID

import pytest

from domain.errors import InvalidInputError
from domain.evaluations.authors import MAX_AUTHORS, MAX_PROJECTS, Author, check_authors
from domain.evaluations.evaluation import Declaration, MemberState, Outcome
from domain.evaluations.measures import MEASURES, project_numbers, source_lines
from domain.jobs import JobStatus
from tests.unit.domain.evaluations.sample_evaluations import HUMAN, model

SOURCE: dict[str, dict[str, Any]] = {
    "size": {"sloc": 2_000, "files": 9},
    "lint": {"total": 30},
    "dead_code": {"unused_symbols": 5},
    "security": {"high": 1, "medium": 2, "low": 7},
    "cyclomatic": {"avg_cc": 3.1, "functions": 40, "complex_functions": 3},
    "docs": {"coverage_pct": 62.5},
    "mi": {"mi_avg": 71.0},
    "dupes": {"duplicate_pct": 4.0},
}


def metrics_of(source: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of a run whose tests would change every number."""
    return {
        "churn": {"total_commits": None},
        **{
            name: {**dict.fromkeys(values, 10**6), "by_role": {"source": values, "test": dict.fromkeys(values, 10**6)}}
            for name, values in source.items()
        },
    }


def test_measures_are_of_source_files_alone() -> None:
    assert project_numbers(metrics_of(SOURCE)) == {
        "lint_density": 15.0,
        "dead_code_density": 2.5,
        "security_density": 5.0,
        "security_high_density": 0.5,
        "security_medium_density": 1.0,
        "security_low_density": 3.5,
        "complex_share": 7.5,
        "documented_share": 62.5,
        "maintainability": 71.0,
        "duplicated_share": 4.0,
    }
    assert source_lines(metrics_of(SOURCE)) == 2_000


def test_there_are_ten_measures_in_the_order_of_the_numbers() -> None:
    assert [measure.name for measure in MEASURES] == list(project_numbers({}))
    assert len(MEASURES) == 10
    assert {measure.better for measure in MEASURES} == {"lower", "higher"}


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"size": None, "lint": {}},
        {name: dict.fromkeys(values) for name, values in SOURCE.items()},
        metrics_of({name: dict.fromkeys(values) for name, values in SOURCE.items()}),
    ],
)
def test_what_was_not_measured_has_no_number(metrics: dict[str, Any]) -> None:
    assert set(project_numbers(metrics).values()) == {None}
    assert source_lines(metrics) is None


def test_project_without_lines_or_functions_has_no_share_of_them() -> None:
    empty = {**SOURCE, "size": {"sloc": 0}, "cyclomatic": {"functions": 0, "complex_functions": 0}}
    numbers = project_numbers(metrics_of(empty))
    assert {name for name, value in numbers.items() if value is None} == {
        "lint_density", "dead_code_density", "security_density", "security_high_density", "security_medium_density",
        "security_low_density", "complex_share",
    }  # fmt: skip


def test_outcome_of_a_run_names_what_was_not_measured_completely() -> None:
    collectors = {"size": "ok", "lint": "partial", "churn": "failed"}
    outcome = Outcome.of_run(UUID(int=7), metrics_of(SOURCE), collectors, {"ruff": "1"})
    assert (outcome.state, outcome.incomplete) == (MemberState.COMPLETED, ("lint",))
    assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


@pytest.mark.parametrize(
    ("status", "cancelled", "state"),
    [
        (JobStatus.PENDING, False, MemberState.PENDING),
        (JobStatus.RUNNING, True, MemberState.RUNNING),
        (JobStatus.FAILED, False, MemberState.FAILED),
        (JobStatus.FAILED, True, MemberState.CANCELLED),
        (JobStatus.COMPLETED, False, MemberState.DELETED),
    ],
)
def test_outcome_of_a_job_without_a_run(status: JobStatus, cancelled: bool, state: MemberState) -> None:
    outcome = Outcome.of_job(status, "a\nb", cancelled=cancelled)
    assert (outcome.state, outcome.run_id) == (state, None)
    assert outcome.reason == {"failed": "a b", "cancelled": "a b", "deleted": "its job or its run was deleted"}.get(
        state
    )
    assert state.finished == status.finished


def test_stored_numbers_of_another_version_are_left_out() -> None:
    stored = Outcome(state=MemberState.COMPLETED, numbers={"lint_density": 1.0}).to_json()
    stored["numbers"]["of_tomorrow"] = 3
    assert Outcome.from_json(stored).numbers == {"lint_density": 1.0}


def test_declaration_is_stored_and_read() -> None:
    declared = Declaration(job_id="j", source="s", author=model("m"), task="t")
    assert Declaration.from_json(json.loads(json.dumps(declared.to_json()))) == declared


def test_person_has_no_name_here() -> None:
    assert Author.declared("human", "Ann Example") == HUMAN


@pytest.mark.parametrize(
    ("author_type", "author_model", "message"),
    [
        ("robot", "x", "must be 'human' or 'ai'"),
        ("ai", "", "needs the name of its model"),
        ("ai", "Human", "would read as people"),
        ("ai", "=1+1", "begins as a formula"),
        ("ai", "+x", "begins as a formula"),
        ("ai", "\uff1dx", "begins as a formula"),
        ("ai", "a\x00b", "printable"),
        ("ai", "a\u202eb", "printable"),
        ("ai", "x" * 101, "has 101 characters"),
    ],
)
def test_bad_author_is_refused(author_type: str, author_model: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        Author.declared(author_type, author_model)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("authors", "message"),
    [
        ([], "no project"),
        ([model("m")] * 3, "it names no author but 'm'; an evaluation compares at least two"),
        ([HUMAN, model("m")] * (MAX_PROJECTS // 2 + 1), "1002 projects are more than 1000"),
        ([model(f"m{number}") for number in range(MAX_AUTHORS + 1)], "11 authors are more than 10"),
    ],
)
def test_authors_that_cannot_be_compared_are_refused(authors: list[Author], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        check_authors(authors)
