"""Fields of the forms about a tracked repository, and what they ask for."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from domain.errors import InvalidInputError
from domain.tags import parse_tags
from domain.text import JSON, one_line
from domain.tracking.follows import FollowSettings, FollowWhen
from domain.tracking.repository import TrackedRepository
from domain.tracking.settings import RepositorySettings
from infrastructure.json_codec import loads_untrusted
from worker.client import RepositoryChanges, repository_settings_from_json
from worker.http.api.request_bodies import MAX_VALUES
from worker.http.pages.layout.forms import shown_again

Fields = Mapping[str, str]

NEW_FIELDS = frozenset({"url", "schedule", "branches", "token"})
CHANGE_FIELDS = frozenset(
    {"schedule", "branches", "exclude", "notify_url", "public", "description", "tags", "token", "token_removed"}
)
FOLLOW_FIELDS = frozenset({"when", "follower_url"})
GATE_FIELDS = frozenset({"gate"})


def branches_of(fields: Fields) -> RepositorySettings:
    """Return settings with the branches that a form names, apart by white space. Raises InvalidInputError."""
    return repository_settings_from_json({"branches": fields.get("branches", "").split()})


def changes_of(fields: Fields, stored: Mapping[str, JSON]) -> RepositoryChanges:
    """Return the changes that a form asks for. What the form does not have stays: the gate. Raises InvalidInputError.

    An empty token leaves the stored one; `token_removed` removes it.
    """
    exclude = [glob.strip() for glob in fields.get("exclude", "").splitlines() if glob.strip()]
    settings = replace(
        repository_settings_from_json({"gate": stored.get("gate")}),
        branches=branches_of(fields).branches,
        exclude=repository_settings_from_json({"exclude": exclude}).exclude,
        notify_url=fields.get("notify_url", "").strip() or None,
        public="public" in fields,
    )
    token = "" if "token_removed" in fields else fields.get("token", "").strip() or None
    return RepositoryChanges(
        schedule=fields.get("schedule", "").strip(),
        settings=settings,
        tags=parse_tags(each for each in fields.get("tags", "").splitlines() if each.strip()),
        token=token,
        description=fields.get("description", "").strip(),
    )


def gate_change_of(fields: Fields, stored: Mapping[str, JSON]) -> RepositoryChanges:
    """Return the change of the gate policy that a form asks for; empty, the default policy holds again.

    The policy is the JSON that the API takes. Other settings stay. Raises InvalidInputError.
    """
    text = fields.get("gate", "").strip()
    try:
        policy = loads_untrusted(text.encode(), MAX_VALUES) if text else None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidInputError(f"the gate policy is no JSON ({place}): {one_line(error.msg, 200)}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"the gate policy is no JSON: {one_line(str(error), 200)}") from None
    return RepositoryChanges(settings=repository_settings_from_json({**stored, "gate": policy}))


def policy_text(policy: JSON) -> str:
    """Return a gate policy as a form shows it: in the order of the documentation; empty for none."""
    with suppress(InvalidInputError):  # what another program has stored is shown as it is
        gate = repository_settings_from_json({"gate": policy}).gate
        policy = None if gate is None else gate.to_json()
    return json.dumps(policy, indent=2, ensure_ascii=False) if policy else ""


def entered_of(repository: TrackedRepository) -> dict[str, str]:
    """Return what the form shows of a repository before anything is changed."""
    settings = repository.settings
    stored: dict[str, JSON] = {
        "schedule": repository.schedule,
        "branches": _lines(settings.get("branches")),
        "exclude": _lines(settings.get("exclude")),
        "notify_url": settings.get("notify_url"),
        "public": "yes" if repository.is_public else None,
        "description": repository.description,
        "gate": policy_text(settings.get("gate")),
        "tags": "\n".join(f"{name}={value}" for name, values in repository.tags.items() for value in values),
    }
    return shown_again({name: str(value) for name, value in stored.items() if value})


def _lines(value: JSON) -> str:
    """Return the texts of a list, each uncut on a line of its own; empty for what another program has stored there."""
    return "\n".join(each for each in value if isinstance(each, str)) if isinstance(value, list) else ""


def follow_of(fields: Fields) -> FollowSettings:
    """Return what a follower wants to be told. Raises InvalidInputError."""
    when = fields.get("when", "")
    if when not in list(FollowWhen):
        raise InvalidInputError(f"choose when you are told: {', '.join(FollowWhen)}")
    return FollowSettings(when=FollowWhen(when), notify_url=fields.get("follower_url", "").strip() or None)
