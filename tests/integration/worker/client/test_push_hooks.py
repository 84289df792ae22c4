"""Push hooks and the secrets of tracked repositories."""

import asyncio
import hashlib
import hmac
import json
import uuid
from typing import Any
from uuid import UUID

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text

from domain.errors import InvalidInputError, NotFoundError
from domain.tracking.hooks import HookOutcome
from tests.fixtures.worker_process import System
from worker.client import Client
from worker.client.repositories.changes import RepositoryChanges

URL = "https://github.com/Owner/repo"


async def rows(client: Client, query: str, **values: Any) -> list[Any]:
    async with client._database.unit_of_work() as work:
        return list((await work.execute(text(query), values)).all())


def github(secret: str, body: bytes, event_name: str = "push") -> dict[str, str]:
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-GitHub-Event": event_name, "X-Hub-Signature-256": f"sha256={signature}", "X-GitHub-Delivery": "1"}


async def requested(client: Client, repository_id: UUID) -> Any:
    query = "SELECT check_requested_at FROM repositories WHERE id = :id"
    return (await rows(client, query, id=repository_id))[0][0]


async def test_a_push_hook_asks_for_a_check_once(client: Client, user_id: UUID) -> None:
    added = await client.repositories.add(user_id, url=URL)
    secret = await client.repositories.rotate_hook_secret(user_id, added.repository_id)
    before = await requested(client, added.repository_id)
    body = json.dumps({"repository": {"stargazers_count": 3, "description": "a tool"}}).encode()
    receive = client.repositories.receive_hook
    ping = github(secret, body, "ping")
    assert await receive(added.repository_id, ping, body) is HookOutcome.IGNORED
    assert await requested(client, added.repository_id) == before
    push = github(secret, body)
    assert await receive(added.repository_id, push, body) is HookOutcome.CHECKING
    after = await requested(client, added.repository_id)
    assert after > before
    for delivery in ("1", "2"):
        replayed = {**push, "X-GitHub-Delivery": delivery}
        assert await receive(added.repository_id, replayed, body) is HookOutcome.REPEATED
    assert await requested(client, added.repository_id) == after
    found = await client.repositories.get(user_id, added.repository_id)
    assert (found.stars, found.description, found.has_hook_secret) == (3, "a tool", True)
    gitlab = {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": secret}
    assert await receive(added.repository_id, gitlab, b"{}") is HookOutcome.CHECKING


async def test_a_hook_that_is_sent_many_times_at_once_counts_once(client: Client, user_id: UUID) -> None:
    added = await client.repositories.add(user_id, url=URL)
    secret = await client.repositories.rotate_hook_secret(user_id, added.repository_id)
    headers = github(secret, b"{}")
    outcomes = await asyncio.gather(
        *(client.repositories.receive_hook(added.repository_id, headers, b"{}") for _ in range(10))
    )
    assert sorted(outcomes) == [HookOutcome.CHECKING] + [HookOutcome.REPEATED] * 9


async def test_unproven_hooks_are_answered_alike(client: Client, user_id: UUID) -> None:
    added = await client.repositories.add(user_id, url=URL)
    without = await client.repositories.add(user_id, url=f"{URL}2")
    other = await client.repositories.add(user_id, url=f"{URL}3")
    secret = await client.repositories.rotate_hook_secret(user_id, added.repository_id)
    another = await client.repositories.rotate_hook_secret(user_id, other.repository_id)
    old = await client.repositories.rotate_hook_secret(user_id, added.repository_id)
    assert secret != old
    before = await requested(client, added.repository_id)
    answers = set()
    for repository_id, headers in (
        (uuid.uuid4(), github(secret, b"{}")),
        (without.repository_id, github("", b"{}")),
        (without.repository_id, {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": ""}),
        (added.repository_id, {}),
        (added.repository_id, github("wrong", b"{}")),
        (added.repository_id, github(another, b"{}")),
        (added.repository_id, github(secret, b"{}")),  # the secret before the last
    ):
        with pytest.raises(NotFoundError) as refused:
            await client.repositories.receive_hook(repository_id, headers, b"{}")
        answers.add(str(refused.value))
    assert len(answers) == 1
    assert await requested(client, added.repository_id) == before
    with pytest.raises(InvalidInputError):
        await client.repositories.receive_hook(added.repository_id, github(old, b"x" * (10 << 20)), b"x" * (10 << 20))


async def test_secrets_are_stored_encrypted_and_shown_by_no_call(client: Client, user_id: UUID, system: System) -> None:
    added = await client.repositories.add(user_id, url=URL, token="t0ken-of-ann")
    secret = await client.repositories.rotate_hook_secret(user_id, added.repository_id)
    ((token, hook_secret),) = await rows(client, "SELECT token, hook_secret FROM repositories")
    key = Fernet(system.environment["TOKEN_ENCRYPTION_KEYS"])
    assert (key.decrypt(token).decode(), key.decrypt(hook_secret).decode()) == ("t0ken-of-ann", secret)
    logged = await rows(client, "SELECT details::text FROM audit_logs")
    shown = repr(
        (logged, await client.repositories.get(user_id, added.repository_id), RepositoryChanges(token="t0ken"))
    )
    assert not any(each in shown for each in ("t0ken", secret, token, hook_secret))


@pytest.mark.settings(TOKEN_ENCRYPTION_KEYS="")
async def test_without_keys_no_secret_is_taken(client: Client, user_id: UUID) -> None:
    with pytest.raises(InvalidInputError, match="TOKEN_ENCRYPTION_KEYS"):
        await client.repositories.add(user_id, url=URL, token="x")
    added = await client.repositories.add(user_id, url=URL)
    with pytest.raises(InvalidInputError, match="TOKEN_ENCRYPTION_KEYS"):
        await client.repositories.rotate_hook_secret(user_id, added.repository_id)
