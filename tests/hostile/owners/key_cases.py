"""API keys, sessions, and what is used of a plan."""

import uuid
from uuid import UUID

from tests.hostile.owners.world import Subject, World


async def make_key(world: World, owner: UUID) -> UUID:
    return (await world.client.keys.create(owner, name="ci")).key.key_id


KEYS = Subject(
    make=make_key,
    unknown=uuid.uuid4,
    calls={"keys.revoke": lambda client, user, key: client.keys.revoke(user, key)},
    own={
        "keys.create": lambda client, user, _: client.keys.create(user, name="ci"),
        "keys.list": lambda client, user, _: client.keys.list(user),
        "usage.get": lambda client, user, _: client.usage.get(user),
    },
    query="SELECT t::text FROM api_keys AS t WHERE user_id = :id ORDER BY id",
)


async def begin_session(world: World, owner: UUID) -> UUID:
    link = await world.client.sessions.create_link(owner)
    await world.client.sessions.create_link(owner)
    return (await world.client.sessions.begin_by_link(link)).session.session_id


SESSIONS = Subject(
    make=begin_session,
    unknown=uuid.uuid4,
    calls={},
    own={
        "sessions.create_link": lambda client, user, _: client.sessions.create_link(user),
        "sessions.end_all": lambda client, user, _: client.sessions.end_all(user),
    },
    query="SELECT t::text FROM sessions AS t WHERE user_id = :id ORDER BY id",
)
