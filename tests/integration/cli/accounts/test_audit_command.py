"""`vibe8 audit`: what it lists, and what it refuses."""

from uuid import UUID

from tests.fixtures.database import Rows
from tests.fixtures.jobs import PYTHON_FILE
from tests.fixtures.worker_process import System
from tests.integration.cli.command_support import assert_error_line
from worker.client import Client


async def test_entries_are_listed_by_user_action_and_number(cli: System, client: Client, local_user: UUID) -> None:
    assert (await cli.run("audit")).out == "no entries\n"
    asked = client.for_request("192.0.2.7", "browser")
    other = await client.get_or_create_user("b@example.org")
    job = await asked.submit_upload(local_user, filename="a.py", content=PYTHON_FILE)
    await client.submit_upload(other, filename="a.py", content=PYTHON_FILE)
    assert (await cli.run("pause")).code == 0
    assert (await cli.run("cancel", job.job_id, "--operator")).code == 0
    assert (await cli.run("cleanup")).code == 0

    listed = (await cli.run("audit", "--json")).document
    assert [entry["action"] for entry in listed] == ["cleanup", "cancel", "pause", "submit", "submit"]
    assert listed[1]["details"] == {"status": "pending", "by": "operator"}
    assert listed[2]["user_id"] is None
    assert (listed[4]["ip_address"], listed[4]["user_agent"]) == ("192.0.2.7", "browser")
    mine = ("audit", "--json", "--user", "local@localhost")
    assert [entry["action"] for entry in (await cli.run(*mine)).document] == ["cancel", "submit"]
    (first,) = (await cli.run(*mine, "--action", "submit", "--since", "1d")).document
    assert first["resource_id"] == job.job_id
    assert len((await cli.run("audit", "--json", "--limit", "2")).document) == 2

    shown = (await cli.run("audit", "--user", str(local_user))).out.splitlines()
    assert shown[0].split() == ["time", "user", "action", "what", "address", "details"]
    assert shown[2].split()[1:] == [
        str(local_user), "submit", "job", job.job_id, "192.0.2.7", '{"source":"upload"}',
    ]  # fmt: skip


async def test_more_entries_than_a_page_are_listed(cli: System) -> None:
    await Rows(cli).all("""
        INSERT INTO audit_logs (action, resource_type, resource_id)
        SELECT 'submit', 'job', number::text FROM generate_series(1, 2500) AS number
    """)
    listed = (await cli.run("audit", "--json", "--limit", "100000")).document
    assert sorted(int(entry["resource_id"]) for entry in listed) == list(range(1, 2501))
    assert len((await cli.run("audit", "--json", "--limit", "1200")).document) == 1200


async def test_wrong_arguments_are_refused(cli: System) -> None:
    assert_error_line(await cli.run("audit", "--user", "nobody@example.org"), 2, "there is no user nobody@example.org")
    assert_error_line(await cli.run("audit", "--action", "fly"), 2, "fly", "submit")
    assert_error_line(await cli.run("audit", "--since", "yesterday"), 2, "--since must look like")
    assert_error_line(await cli.run("audit", "--limit", "0"), 2, "limit")
