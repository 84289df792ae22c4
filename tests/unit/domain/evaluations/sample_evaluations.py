"""Evaluations with numbers that a test chooses."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from domain.evaluations.authors import Author
from domain.evaluations.evaluation import (
    Declaration,
    Evaluation,
    EvaluationStatus,
    EvaluationSummary,
    Member,
    MemberState,
    Outcome,
)
from domain.evaluations.measures import MEASURES

HUMAN = Author(author_type="human", author_model="")
NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


def model(name: str) -> Author:
    return Author(author_type="ai", author_model=name)


def member(author: Author, value: float | None, *, task: str = "", source: str = "a project") -> Member:
    """Make a completed project all of whose measures have this value."""
    outcome = Outcome(
        state=MemberState.COMPLETED,
        run_id=uuid.uuid4(),
        source_lines=100,
        numbers={measure.name: value for measure in MEASURES},
        tool_versions={"ruff": "0.1"},
    )
    return Member(declared=declaration(author, task=task, source=source), outcome=outcome)


def lost(author: Author, state: MemberState, *, task: str = "", source: str = "a project") -> Member:
    """Make a project without a result."""
    outcome = Outcome(state=state, reason=f"it was {state}")
    return Member(declared=declaration(author, task=task, source=source), outcome=outcome)


def declaration(author: Author, *, task: str, source: str) -> Declaration:
    return Declaration(job_id=uuid.uuid4().hex, source=source, author=author, task=task)


def group(author: Author, values: Sequence[float], tasks: Sequence[str] | None = None) -> list[Member]:
    """Make a project for each value; without `tasks` they have none."""
    named = tasks or [""] * len(values)
    return [
        member(author, value, task=task, source=f"{author.label}/{number}")
        for number, (value, task) in enumerate(zip(values, named, strict=True))
    ]


def evaluation(members: Sequence[Member], status: EvaluationStatus = EvaluationStatus.COMPLETED) -> Evaluation:
    summary = EvaluationSummary(
        evaluation_id=UUID(int=1),
        user_id=UUID(int=2),
        name="A test",
        description="",
        model_name=None,
        dataset_name="",
        status=status,
        members=len(members),
        created_at=NOON,
        updated_at=NOON,
        finished_at=NOON,
    )
    return Evaluation(summary=summary, members=members)
