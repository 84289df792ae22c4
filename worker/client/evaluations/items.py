"""What is submitted for an evaluation: projects, each with its declared author and task."""

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self
from uuid import UUID

from domain.errors import InvalidInputError
from domain.evaluations.authors import (
    MAX_DESCRIPTION_LENGTH,
    MAX_NAME_LENGTH,
    MAX_SOURCE_LENGTH,
    MAX_WORD_LENGTH,
    Author,
    AuthorType,
    check_authors,
    checked_text,
)
from domain.evaluations.evaluation import Declaration
from domain.jobs import Job
from domain.options import JobOptions
from domain.sources import MAX_NAME_LENGTH as MAX_PROJECT_LENGTH
from domain.sources import Authorship
from infrastructure.database.evaluations.evaluations import NewEvaluation
from worker.client.jobs.submissions import RepositorySubmission, Submission


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationItem:
    """One project of an evaluation.

    `source` is what to analyse; its authorship and options are set by the evaluation. `author_type` is `human` or `ai`,
    and `author_model` the model of an `ai`; a person's name is not kept. `task` is what all projects with the same task
    do, or empty. `label` names the project in the results: the URL or the file's name if it is empty.
    """

    source: Submission
    author_type: str
    author_model: str = ""
    task: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedEvaluation:
    """An evaluation whose items are valid. `submissions` and `declared` are in the order of the items."""

    evaluation_id: UUID
    name: str
    description: str
    dataset_name: str
    submissions: Sequence[Submission]
    declared: Sequence[Declaration]

    @classmethod
    def of(cls, name: str, items: Sequence[EvaluationItem], *, description: str, dataset_name: str) -> Self:
        """Check the items. Raises InvalidInputError, which names the item."""
        texts = {
            "name": checked_text("name", name.strip(), MAX_NAME_LENGTH),
            "description": checked_text("description", description.strip(), MAX_DESCRIPTION_LENGTH),
            "dataset_name": checked_text("dataset_name", dataset_name.strip(), MAX_NAME_LENGTH),
        }
        if not texts["name"]:
            raise InvalidInputError("an evaluation needs a name")
        evaluation_id = uuid.uuid4()
        declared = [_at_item(number, item) for number, item in enumerate(items, start=1)]
        check_authors(each.author for each in declared)
        _refuse_duplicates(items)
        submissions = [_member(item.source, each, evaluation_id) for item, each in zip(items, declared, strict=True)]
        return cls(evaluation_id=evaluation_id, submissions=submissions, declared=declared, **texts)

    def row(self, user_id: UUID, jobs: Sequence[Job]) -> NewEvaluation:
        """See `worker.client.jobs.submissions.SubmittedEvaluation`."""
        models = {each.author.author_model for each in self.declared if each.author.author_type == AuthorType.AI}
        return NewEvaluation(
            evaluation_id=self.evaluation_id,
            user_id=user_id,
            name=self.name,
            description=self.description,
            model_name=models.pop() if len(models) == 1 else None,
            dataset_name=self.dataset_name,
            members=[replace(each, job_id=job.job_id) for each, job in zip(self.declared, jobs, strict=True)],
        )


def _at_item(number: int, item: EvaluationItem) -> Declaration:
    try:
        return _declaration(item)
    except InvalidInputError as error:
        raise InvalidInputError(f"item {number}: {error}") from None


def _declaration(item: EvaluationItem) -> Declaration:
    """Return the declaration, without the id of its job. Raises InvalidInputError."""
    if item.source.idempotency_key is not None:
        raise InvalidInputError("a project of an evaluation has no idempotency key: it is submitted anew")
    default = item.source.url if isinstance(item.source, RepositorySubmission) else item.source.filename
    return Declaration(
        job_id="",
        source=checked_text("source", (item.label or default).strip(), MAX_SOURCE_LENGTH),
        author=Author.declared(item.author_type, item.author_model.strip()),
        task=checked_text("task", item.task.strip(), MAX_WORD_LENGTH),
    )


def _member(source: Submission, declared: Declaration, evaluation_id: UUID) -> Submission:
    authorship = Authorship(
        project_name=declared.source[-MAX_PROJECT_LENGTH:],
        author_type=declared.author.author_type,
        author_model=declared.author.author_model or None,
    )
    return replace(source, authorship=authorship, options=JobOptions(evaluation_id=evaluation_id))


def _refuse_duplicates(items: Sequence[EvaluationItem]) -> None:
    """Raise InvalidInputError where two items are one project: it would count twice."""
    seen: dict[object, int] = {}
    for number, identity in enumerate(_identities(items), start=1):
        earlier = seen.setdefault(identity, number)
        if earlier != number:
            raise InvalidInputError(f"item {number}: the source is that of item {earlier}; each project counts once")


def _identities(items: Sequence[EvaluationItem]) -> Iterator[object]:
    for item in items:
        if isinstance(item.source, RepositorySubmission):
            yield item.source.url, item.source.branch
        else:
            yield hashlib.sha256(item.source.content).digest()
