"""Shared reports."""

from uuid import UUID

from domain.reports import CODE_LENGTH
from tests.hostile.owners.world import Subject, World


async def share(world: World, owner: UUID) -> str:
    run_id = await world.complete(await world.submit(owner))
    return (await world.client.reports.create(owner, run_id)).code


REPORTS = Subject(
    make=share,
    unknown=lambda: "x" * CODE_LENGTH,
    calls={
        "reports.get": lambda client, user, code: client.reports.get(user, code),
        "reports.withdraw": lambda client, user, code: client.reports.withdraw(user, code),
    },
    own={"reports.list": lambda client, user, _: client.reports.list(user)},
    query="SELECT t::text FROM reports AS t WHERE owner_id = :id ORDER BY id",
)
