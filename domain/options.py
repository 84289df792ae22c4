"""Options of a job: what its submission asks for beside the source. They are kept with the run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID

from domain.errors import InvalidInputError
from domain.gate.policy import Policy, parse_policy
from domain.selection import Selection
from domain.tags import Tags, normalize_tags
from domain.text import JSON, one_line

KNOWN_OPTIONS = frozenset(
    {"baseline", "gate", "collectors", "include", "exclude", "tags", "evaluation_id", "repository_id"}
)
"""The keys of the JSON form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """What a submission asks for. What is not given is left to the worker, or means all.

    `baseline` is the run to compare with, and `gate` the policy to judge by. `collectors` are the metrics to measure;
    the others are null in the result. `include` and `exclude` are globs that choose the files to measure, see
    `domain.path_globs`. `tags` are those that the run gets, see `domain.tags`. `evaluation_id` is the evaluation that
    the job is a member of; only its own submission sets it. `repository_id`
    is the tracked repository whose run this is.
    """

    baseline: UUID | None = None
    gate: Policy | None = None
    collectors: Sequence[str] = ()
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    tags: Tags = field(default_factory=dict)
    evaluation_id: UUID | None = None
    repository_id: UUID | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, JSON], metrics: Sequence[str]) -> Self:
        """Read what `to_json` made, or another program wrote. `metrics` are the names of all metrics.

        Raises InvalidInputError, in one line.
        """
        if unknown := sorted(str(key) for key in document.keys() - KNOWN_OPTIONS):
            accepted = ", ".join(sorted(KNOWN_OPTIONS))
            raise InvalidInputError(
                f"the job's options have an unknown key {one_line(unknown[0], 50)!r}; they accept {accepted}"
            )
        baseline, gate, tags = document.get("baseline"), document.get("gate"), document.get("tags")
        selection = Selection.from_json(document, metrics)
        repository = document.get("repository_id")
        return cls(
            baseline=None if baseline is None else _id(baseline, "baseline", "run"),
            repository_id=None if repository is None else _id(repository, "repository_id", "tracked repository"),
            gate=None if gate is None else parse_policy(gate, metrics),
            collectors=selection.collectors,
            include=selection.include,
            exclude=selection.exclude,
            tags={} if tags is None else normalize_tags(tags),
            evaluation_id=None if document.get("evaluation_id") is None else _evaluation_id(document),
        )

    @property
    def selection(self) -> Selection:
        """What of the source is measured."""
        chosen = (tuple(self.collectors), tuple(self.include), tuple(self.exclude))
        return Selection(collectors=chosen[0], include=chosen[1], exclude=chosen[2])

    def to_json(self) -> dict[str, JSON]:
        """Return the JSON form, without what is not given."""
        form: dict[str, JSON] = {}
        if self.baseline is not None:
            form["baseline"] = str(self.baseline)
        if self.gate is not None:
            form["gate"] = self.gate.to_json()
        for key in ("collectors", "include", "exclude", "tags"):
            if chosen := getattr(self, key):
                form[key] = list(chosen) if isinstance(chosen, tuple | set | frozenset) else chosen
        if self.evaluation_id is not None:
            form["evaluation_id"] = str(self.evaluation_id)
        if self.repository_id is not None:
            form["repository_id"] = str(self.repository_id)
        return form

    def of_run(self) -> dict[str, JSON]:
        """Return what the run keeps: the JSON form without the tags, which its owner may change later."""
        return {key: value for key, value in self.to_json().items() if key != "tags"}


def _id(value: JSON, option: str, what: str) -> UUID:
    try:
        return UUID(value)
    except (ValueError, AttributeError, TypeError):
        raise InvalidInputError(f"the option {option} must be the id of a {what}") from None


def _evaluation_id(document: Mapping[str, JSON]) -> UUID:
    evaluation_id = evaluation_id_of(document)
    if evaluation_id is None:
        raise InvalidInputError("the option evaluation_id must be the id of an evaluation")
    return evaluation_id


def evaluation_id_of(document: Mapping[Any, JSON]) -> UUID | None:
    """Return the evaluation that options name; None also for what is no id, which another program may have written."""
    try:
        return UUID(document.get("evaluation_id"))
    except (ValueError, AttributeError, TypeError):
        return None
