"""API keys."""

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
    },
    query="SELECT t::text FROM api_keys AS t WHERE user_id = :id ORDER BY id",
)
