"""An evaluation: its state, its members, and how each of them ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from domain.evaluations.authors import Author
from domain.evaluations.measures import COLLECTORS, MEASURES, project_numbers, source_lines
from domain.jobs import JobStatus
from domain.text import JSON, one_line

REASON_LENGTH = 300


class EvaluationStatus(StrEnum):
    """The state of an evaluation. The names are stored."""

    PENDING = "pending"
    """No member has ended."""
    RUNNING = "running"
    COMPLETED = "completed"
    """All members have ended, and at least one has a result."""
    FAILED = "failed"
    """All members have ended, and none has a result."""

    @property
    def finished(self) -> bool:
        """Whether all members have ended; a member that is retried reopens the evaluation."""
        return self in (EvaluationStatus.COMPLETED, EvaluationStatus.FAILED)


class MemberState(StrEnum):
    """How far a member is. The names are stored."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DELETED = "deleted"
    """Its job was deleted before it had a result, or its run was deleted before the evaluation ended."""

    @property
    def finished(self) -> bool:
        """Whether the member has ended."""
        return self not in (MemberState.PENDING, MemberState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A member as its submitter declared it, and its job."""

    job_id: str
    source: str
    author: Author
    task: str

    @classmethod
    def from_json(cls, document: Mapping[str, JSON]) -> Self:
        """Read what `to_json` made."""
        author = Author(author_type=document["author_type"], author_model=document["author_model"])
        return cls(job_id=document["job_id"], source=document["source"], author=author, task=document["task"])

    def to_json(self) -> dict[str, JSON]:
        """Return the stored form."""
        return {
            "job_id": self.job_id,
            "source": self.source,
            "author_type": self.author.author_type,
            "author_model": self.author.author_model,
            "task": self.task,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How far a member is: with a run its numbers, without one the `reason`.

    `incomplete` names those of COLLECTORS that did not measure all of the project.
    """

    state: MemberState
    reason: str | None = None
    run_id: UUID | None = None
    source_lines: int | None = None
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    incomplete: Sequence[str] = ()
    tool_versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_run(
        cls, run_id: UUID, metrics: Mapping[str, JSON], collectors: Mapping[str, JSON], tools: Mapping[str, str]
    ) -> Self:
        """Return the outcome of a member with a run; `collectors` is that of the run's `completeness`."""
        return cls(
            state=MemberState.COMPLETED,
            run_id=run_id,
            source_lines=source_lines(metrics),
            numbers=project_numbers(metrics),
            incomplete=tuple(sorted(name for name in COLLECTORS & collectors.keys() if collectors[name] != "ok")),
            tool_versions=tools,
        )

    @classmethod
    def of_job(cls, status: JobStatus, error: str | None, *, cancelled: bool) -> Self:
        """Return the outcome of a member whose job has no run. A completed job's run was deleted."""
        if status is JobStatus.COMPLETED:
            return cls.deleted()
        if status is JobStatus.FAILED:
            state = MemberState.CANCELLED if cancelled else MemberState.FAILED
            return cls(state=state, reason=one_line(error or "", REASON_LENGTH))
        return cls(state=MemberState(status))

    @classmethod
    def deleted(cls) -> Self:
        """Return the outcome of a member that has neither a job nor a run."""
        return cls(state=MemberState.DELETED, reason="its job or its run was deleted")

    @classmethod
    def from_json(cls, document: Mapping[str, JSON]) -> Self:
        """Read what `to_json` made. Numbers that this version does not know are left out."""
        known = {measure.name for measure in MEASURES}
        run_id = document["run_id"]
        return cls(
            state=MemberState(document["state"]),
            reason=document["reason"],
            run_id=None if run_id is None else UUID(run_id),
            source_lines=document["source_lines"],
            numbers={name: value for name, value in document["numbers"].items() if name in known},
            incomplete=tuple(document["incomplete"]),
            tool_versions=document["tool_versions"],
        )

    def to_json(self) -> dict[str, JSON]:
        """Return the stored form."""
        return {
            "state": str(self.state),
            "reason": self.reason,
            "run_id": None if self.run_id is None else str(self.run_id),
            "source_lines": self.source_lines,
            "numbers": dict(self.numbers),
            "incomplete": list(self.incomplete),
            "tool_versions": dict(self.tool_versions),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member: what was declared, and how far it is."""

    declared: Declaration
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationCursor:
    """The position in a list of evaluations, newest first, after which the next page starts."""

    created_at: datetime
    evaluation_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSummary:
    """An evaluation of a list. `members` is their number. Times are in UTC."""

    evaluation_id: UUID
    user_id: UUID
    name: str
    description: str
    model_name: str | None
    """The model, where all projects by models are by one."""
    dataset_name: str
    status: EvaluationStatus
    members: int
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None

    @property
    def cursor(self) -> EvaluationCursor:
        """The position after this evaluation in a list."""
        return EvaluationCursor(created_at=self.created_at, evaluation_id=self.evaluation_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """An evaluation with its members, in the order of their submission."""

    summary: EvaluationSummary
    members: Sequence[Member]
