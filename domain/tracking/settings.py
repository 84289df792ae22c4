"""Settings of a tracked repository, and the reader of their JSON form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from domain.errors import InvalidInputError
from domain.gate.policy import Policy, parse_policy
from domain.path_globs import parse_globs
from domain.sources import validate_branch_name
from domain.text import JSON, one_line

KNOWN_SETTINGS = frozenset({"gate", "branches", "exclude", "notify_url", "public"})
"""The keys of the JSON form. A token is stored apart, encrypted."""

MAX_BRANCHES = 20
"""The most branches of one repository that are watched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositorySettings:
    """How a repository is analysed. What is not given has its default.

    `gate` is the policy to judge by. `branches` are those that are watched; none are the default branch alone.
    `exclude` are globs of paths to leave out, see `domain.path_globs`. A webhook is sent to `notify_url` when a run
    ends. Other users may see and follow a `public` repository.
    """

    gate: Policy | None = None
    branches: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    notify_url: str | None = None
    public: bool = False

    @classmethod
    def from_json(cls, document: JSON, metrics: Sequence[str]) -> Self:
        """Read what `to_json` made, or a user wrote. `metrics` are the names that a policy may use.

        Raises InvalidInputError, in one line. The caller checks whether webhooks may go to the `notify_url`.
        """
        if not isinstance(document, Mapping):
            raise InvalidInputError("the settings of a repository must be a JSON object")
        if unknown := sorted(str(key) for key in document.keys() - KNOWN_SETTINGS):
            accepted = ", ".join(sorted(KNOWN_SETTINGS))
            raise InvalidInputError(
                f"the settings of a repository have an unknown key {one_line(unknown[0], 50)!r}; they accept {accepted}"
            )
        gate, public = document.get("gate"), document.get("public", False)
        if not isinstance(public, bool):
            raise InvalidInputError("the setting public must be true or false")
        return cls(
            gate=None if gate is None else parse_policy(gate, metrics),
            branches=_branches(document.get("branches") or []),
            exclude=parse_globs(document.get("exclude") or [], "exclude"),
            notify_url=_text_or_none(document.get("notify_url")),
            public=public,
        )

    def to_json(self) -> dict[str, JSON]:
        """Return the JSON form, without what is not given."""
        form: dict[str, JSON] = {
            "gate": None if self.gate is None else self.gate.to_json(),
            "branches": list(self.branches),
            "exclude": list(self.exclude),
            "notify_url": self.notify_url,
            "public": self.public,
        }
        return {key: value for key, value in form.items() if value not in (None, [], False)}


def _branches(value: JSON) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise InvalidInputError("the setting branches must be a list of branch names")
    if len(value) > MAX_BRANCHES:
        raise InvalidInputError(f"the setting branches names {len(value)} branches; give at most {MAX_BRANCHES}")
    return tuple(dict.fromkeys(validate_branch_name(name) for name in value))


def _text_or_none(value: JSON) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidInputError("the setting notify_url must be a URL")
    return value or None
