"""Tracked repositories and their followers."""

import uuid
from typing import Any
from uuid import UUID

from domain.tracking.follows import FollowSettings
from tests.hostile.owners.world import Subject, World
from worker.client import Client, RepositoryChanges


async def add_repository(client: Client, owner: UUID) -> UUID:
    """Track a repository that the user does not track yet, and return its id."""
    url = f"https://github.com/owner/{uuid.uuid4().hex}"
    return (await client.repositories.add(owner, url=url, token="a token")).repository_id


async def make_followed(world: World, owner: UUID) -> UUID:
    repository_id = await add_repository(world.client, owner)
    await world.client.repositories.follow(owner, repository_id, FollowSettings())
    return repository_id


async def follow(client: Client, user_id: UUID, repository_id: Any) -> Any:
    return await client.repositories.follow(user_id, repository_id, FollowSettings())


async def update(client: Client, user_id: UUID, repository_id: Any) -> Any:
    return await client.repositories.update(user_id, repository_id, RepositoryChanges(description="another"))


async def own_ids(client: Client, user_id: UUID) -> list[UUID]:
    return [each.repository_id for each in await client.repositories.list(user_id)]


async def get_many(client: Client, user_id: UUID, _: Any) -> Any:
    return await client.repositories.get_many(user_id, await own_ids(client, user_id))


async def follows(client: Client, user_id: UUID, _: Any) -> Any:
    return await client.repositories.follows(user_id, await own_ids(client, user_id))


REPOSITORIES = Subject(
    make=make_followed,
    unknown=uuid.uuid4,
    calls={
        "repositories.get": lambda client, user, each: client.repositories.get(user, each),
        "repositories.update": update,
        "repositories.check": lambda client, user, each: client.repositories.check(user, each),
        "repositories.remove": lambda client, user, each: client.repositories.remove(user, each),
        "repositories.rotate_hook_secret": lambda client, user, each: client.repositories.rotate_hook_secret(
            user, each
        ),
        "repositories.statistics": lambda client, user, each: client.repositories.statistics(user, each),
        "repositories.follow": follow,
        "repositories.unfollow": lambda client, user, each: client.repositories.unfollow(user, each),
    },
    own={
        "repositories.add": lambda client, user, _: add_repository(client, user),
        "repositories.list": lambda client, user, _: client.repositories.list(user),
        "repositories.get_many": get_many,
        "repositories.follows": follows,
        "repositories.list_followed": lambda client, user, _: client.repositories.list_followed(user),
        "repositories.trending": lambda client, user, _: client.repositories.trending(user),
    },
    query="SELECT t::text FROM repositories AS t WHERE owner_id = :id ORDER BY id",
)
