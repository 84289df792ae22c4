"""`vibe8 keys`: make, list and revoke API keys."""

from uuid import UUID

from tests.fixtures.worker_process import System
from tests.integration.cli.command_support import assert_error_line
from worker.client import Client


async def test_a_key_is_printed_once_and_works(cli: System, client: Client, local_user: UUID) -> None:
    created = await cli.run("keys", "create", "--name", "ci", "--expires", "90d")
    first, about, warning = created.out.splitlines()
    found = await client.keys.authenticate(first)
    assert found.user_id == local_user
    assert found.permissions == {"read", "submit"}
    assert f"id {found.key_id}, read, submit, 1000 requests an hour, valid until 2" in about
    assert "cannot be shown again" in warning
    listed = await cli.run("keys", "list")
    assert first.rsplit("_", 1)[0][:15] in listed.out
    assert first not in listed.out
    heading, row = listed.out.splitlines()
    assert heading.split()[:4] == ["id", "key", "state", "permissions"]
    assert row.split()[2:5] == ["active", "read,submit", "1000"]


async def test_operators_make_keys_that_operate(cli: System, client: Client) -> None:
    made = await cli.run(
        "keys", "create", "--name", "ops", "--permission", "operate", "--permission", "read", "--rate-limit", "50000",
        "--user", "ann@example.org", "--json",
    )  # fmt: skip
    document = made.document
    found = await client.keys.authenticate(document["key"])
    assert found.permissions == {"operate", "read"}
    assert found.rate_limit.limit == 50_000
    (listed,) = (await cli.run("keys", "list", "--user", "ann@example.org", "--json")).document
    assert listed.items() <= {**document, "last_used": listed["last_used"]}.items()
    assert "key" not in listed
    entries = (await cli.run("audit", "--json", "--action", "create_key")).document
    assert [entry["details"]["by"] for entry in entries] == ["operator"]


async def test_a_key_is_revoked_by_the_beginning_of_its_id_or_text(
    cli: System, client: Client, local_user: UUID
) -> None:
    assert (await cli.run("keys", "list")).out == "no keys\n"
    created = [await client.keys.create(local_user, name=f"k{number}") for number in range(3)]
    by_id, by_prefix, whole = created
    assert (await cli.run("keys", "revoke", str(by_id.key.key_id)[:13])).out.startswith(f"revoked {by_id.key.key_id} ")
    shown = await cli.run("keys", "revoke", f"v8_{by_prefix.key.prefix}", "--json")
    assert (shown.document["id"], shown.document["is_active"]) == (str(by_prefix.key.key_id), False)
    assert whole.text not in (await cli.run("keys", "revoke", whole.text)).out
    states = [row.split()[2] for row in (await cli.run("keys", "list")).out.splitlines()[1:]]
    assert states == ["revoked"] * 3


async def test_wrong_arguments_of_keys_are_refused(cli: System, client: Client, local_user: UUID) -> None:
    for name in ("a", "b"):
        await client.keys.create(local_user, name=name)
    assert_error_line(await cli.run("keys", "create"), 2, "--name")
    assert_error_line(await cli.run("keys", "create", "--name", " "), 2, "name must be 1 to 100")
    assert_error_line(await cli.run("keys", "create", "--name", "x", "--permission", "fly"), 2, "fly", "submit")
    assert_error_line(
        await cli.run("keys", "create", "--name", "x", "--expires", "soon"), 2, "--expires must look like"
    )
    assert_error_line(await cli.run("keys", "create", "--name", "x", "--expires", "0d"), 2, "expire in the future")
    assert_error_line(await cli.run("keys", "create", "--name", "x", "--rate-limit", "0"), 2, "rate-limit")
    assert_error_line(await cli.run("keys", "revoke", "v8_"), 2, "several keys begin with v8_")
    assert_error_line(await cli.run("keys", "revoke", "nothing"), 2, "no API key nothing")
    assert_error_line(await cli.run("keys", "revoke", ""), 2, "no API key")
    assert_error_line(await cli.run("keys", "fly"), 2, "fly")
