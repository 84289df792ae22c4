"""Evaluations: projects of declared authors, submitted together and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationProject:
    """A repository to be evaluated. `author_type` is `human` or `ai`; projects of one `task` are compared."""

    url: str
    author_type: str
    branch: str | None = None
    token: str | None = field(default=None, repr=False)
    author_model: str = ""
    task: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSummary:
    """An evaluation of a list; `projects` counts them."""

    evaluation_id: str
    name: str
    description: str
    model_name: str | None
    dataset_name: str
    status: str
    projects: int
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationMember:
    """One project of an evaluation: how it ended, or how far it is."""

    job_id: str
    source: str
    author_type: str
    author_model: str
    task: str
    author: str
    state: str
    reason: str | None
    run_id: str | None
    source_lines: int | None
    numbers: Mapping[str, Any]
    incomplete: Sequence[str]
    tool_versions: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation(EvaluationSummary):
    """An evaluation with its projects."""

    members: Sequence[EvaluationMember]
