"""Tracked repositories: add, read, change, check now, follow, remove; and the push hook."""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from vibe8.models.repositories import Follow, HookSecret, Repository
from vibe8.protocol.endpoints import Group, Mode, call, every
from vibe8.protocol.requests import Page, Request, document, get, listing, member, nothing, page, segment

Tags = Mapping[str, Sequence[str]]
Settings = Mapping[str, Any]


class Repositories(Group[Mode]):
    """Tracked repositories: the caller's, and public ones."""

    @call
    def list(
        self, *, status: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Request[Page[Repository]]:
        """Return a page of your tracked repositories in the order of their URLs."""
        return get("/repositories", page("repositories", Repository), status=status, limit=limit, cursor=cursor)

    iterate = every(list)
    """Yield the repositories of all pages."""

    @call
    def add(
        self,
        url: str,
        *,
        schedule: str | None = None,
        settings: Settings | None = None,
        tags: Tags | None = None,
        token: str | None = None,
        description: str | None = None,
        language: str | None = None,
    ) -> Request[Repository]:
        """Track a repository by its https URL: it is checked at once, by its schedule, and by its host's push hook.

        `schedule` is five fields of cron, or `hourly`, `daily` or `weekly`, in UTC.
        """
        wanted = _fields(schedule, settings, tags, token, description, language)
        return Request(method="POST", path="/repositories", parse=document(Repository), json={"url": url, **wanted})

    @call
    def trending(self, *, limit: int | None = None) -> Request[Sequence[Repository]]:
        """Return those of your and of the public repositories that trend most."""
        return get("/repositories/trending", listing("repositories", Repository), limit=limit)

    @call
    def followed(self, *, limit: int | None = None, cursor: str | None = None) -> Request[Page[Follow]]:
        """Return a page of what you follow, newest first."""
        return get("/repositories/followed", page("follows", Follow), limit=limit, cursor=cursor)

    iterate_followed = every(followed)
    """Yield what you follow, of all pages."""

    @call
    def get(self, repository_id: str) -> Request[Repository]:
        """Return a repository of yours, or a public one, with its statistics."""
        return get(_path(repository_id), document(Repository))

    @call
    def change(
        self,
        repository_id: str,
        *,
        schedule: str | None = None,
        settings: Settings | None = None,
        tags: Tags | None = None,
        token: str | None = None,
        description: str | None = None,
        language: str | None = None,
    ) -> Request[Repository]:
        """Change a repository of yours. None leaves what is there; an empty text clears it."""
        wanted = _fields(schedule, settings, tags, token, description, language)
        return Request(method="PATCH", path=_path(repository_id), parse=document(Repository), json=wanted)

    @call
    def remove(self, repository_id: str) -> Request[None]:
        """Track a repository no longer. Its runs and jobs stay."""
        return Request(method="DELETE", path=_path(repository_id), parse=nothing)

    @call
    def check(self, repository_id: str) -> Request[Repository]:
        """Have a repository checked within seconds; a branch that has moved is analysed."""
        return Request(method="POST", path=f"{_path(repository_id)}/check", parse=document(Repository))

    @call
    def rotate_hook_secret(self, repository_id: str) -> Request[HookSecret]:
        """Make a new secret for the repository's push hook. It is shown this once; the one before ends."""
        return Request(method="POST", path=f"{_path(repository_id)}/hook-secret", parse=document(HookSecret))

    @call
    def follow(self, repository_id: str, *, when: str = "never", notify_url: str | None = None) -> Request[Follow]:
        """Follow a repository, or change when you are told: `end` of each run, when the `gate` turns, or `never`."""
        wanted = {"when": when, "notify_url": notify_url}
        return Request(method="PUT", path=f"{_path(repository_id)}/follow", parse=document(Follow), json=wanted)

    @call
    def unfollow(self, repository_id: str) -> Request[None]:
        """Follow a repository no longer."""
        return Request(method="DELETE", path=f"{_path(repository_id)}/follow", parse=nothing)

    @call
    def report_push(self, repository_id: str, secret: str) -> Request[str]:
        """Tell the service of a push, as GitHub's hook does, for hosts that have no hooks. Returns `checking`.

        `secret` is that of `rotate_hook_secret`; this call needs no API key.
        """
        body = json.dumps({"delivery": uuid4().hex}).encode()
        signature = "sha256=" + hmac.digest(secret.encode(), body, hashlib.sha256).hex()
        headers = {"X-GitHub-Event": "push", "X-Hub-Signature-256": signature, "Content-Type": "application/json"}
        return Request(
            method="POST",
            path=f"/hooks/{segment(repository_id)}",
            parse=member("outcome", str),
            headers=headers,
            content=body,
            repeatable=True,
        )


def _path(repository_id: str) -> str:
    return f"/repositories/{segment(repository_id)}"


def _fields(
    schedule: str | None,
    settings: Settings | None,
    tags: Tags | None,
    token: str | None,
    description: str | None,
    language: str | None,
) -> dict[str, object]:
    """Return the fields that are given."""
    fields = {
        "schedule": schedule,
        "settings": None if settings is None else dict(settings),
        "tags": None if tags is None else {category: [*values] for category, values in tags.items()},
        "token": token,
        "description": description,
        "language": language,
    }
    return {name: value for name, value in fields.items() if value is not None}
