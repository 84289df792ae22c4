"""`vibe8 sign-in`: a link that signs a user in, once."""

from uuid import UUID

from domain.keys import USER_PERMISSIONS, Permission
from tests.fixtures.worker_process import System
from worker.client import Client


async def test_a_link_is_printed_and_works_once(cli: System, client: Client, local_user: UUID) -> None:
    printed = await cli.run("sign-in")
    address, _, secret = printed.out.strip().rpartition("/sign-in/")
    assert address == "http://127.0.0.1:8808"
    created = await client.sessions.begin_by_link(secret)
    assert (created.session.user_id, created.session.permissions) == (local_user, USER_PERMISSIONS)


async def test_a_link_of_an_operator_for_another_address(cli: System, client: Client) -> None:
    made = await cli.run(
        "sign-in", "--operator", "--user", "ann@example.org", "--address", "https://vibe8.example.org/", "--json"
    )
    link = made.document["link"]
    assert link.startswith("https://vibe8.example.org/sign-in/")
    created = await client.sessions.begin_by_link(link.rpartition("/")[2])
    assert created.session.permissions == frozenset(Permission)
    assert created.session.user_id == await client.get_or_create_user("ann@example.org")
