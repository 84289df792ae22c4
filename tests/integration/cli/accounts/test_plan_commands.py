"""`vibe8 usage` and `vibe8 user set-tier`."""

import json
from uuid import UUID

import pytest

from tests.fixtures.jobs import PYTHON_FILE
from tests.fixtures.worker_process import System
from tests.integration.cli.command_support import assert_error_line
from worker.client import Client

LIMITS = json.dumps({"free": {"analyses_per_month": 1}, "pro": {"analyses_per_month": None, "upload_mb": 9}})
pytestmark = pytest.mark.settings(TIER_LIMITS=LIMITS)


async def test_usage_shows_what_is_used_and_what_is_left(cli: System, client: Client, local_user: UUID) -> None:
    await client.submit_upload(local_user, filename="a.py", content=PYTHON_FILE)
    first, _, *lines = (await cli.run("usage")).out.splitlines()
    assert first.startswith("plan free, month 2")
    cells = {line[:38].strip(): line[38:].split() for line in lines}
    assert cells["analyses this month"][:3] == ["1", "1", "0"]
    assert cells["analyses this month"][3].endswith("-01T00:00:00Z")
    assert cells["jobs today"][:3] == ["1", "100", "99"]
    assert cells["unfinished jobs"] == ["1", "5", "4", "-"]
    assert cells["MB of an upload"] == ["-", "5", "-", "-"]


async def test_a_submission_beyond_the_month_is_refused_with_what_to_do(
    cli: System, client: Client, local_user: UUID
) -> None:
    (cli.directory / "a.py").write_bytes(PYTHON_FILE)
    assert (await cli.run("submit", "a.py")).code == 0
    assert_error_line(await cli.run("submit", "a.py"), 2, "1 analyses this month (limit 1, plan free)", "-01 00:00 UTC")
    changed = await cli.run("user", "set-tier", "local@localhost", "pro")
    assert (changed.code, changed.out) == (0, "local@localhost: free -> pro\n")
    assert (await cli.run("submit", "a.py")).code == 0
    shown = (await cli.run("usage", "--json")).document
    assert (shown["tier"], shown["used"]["analyses_per_month"]) == ("pro", 2)
    assert (shown["limits"]["analyses_per_month"], shown["limits"]["upload_mb"]) == (None, 9)
    assert "unlimited" in (await cli.run("usage")).out
    back = (await cli.run("user", "set-tier", str(local_user), "free", "--json")).document
    assert back == {"user_id": str(local_user), "tier": "free", "before": "pro"}
    entries = (await cli.run("audit", "--action", "set_tier", "--json")).document
    assert [entry["details"] for entry in entries] == [
        {"from": "pro", "to": "free", "by": "operator"}, {"from": "free", "to": "pro", "by": "operator"},
    ]  # fmt: skip


async def test_wrong_arguments_of_plans_are_refused(cli: System, local_user: UUID) -> None:
    assert_error_line(await cli.run("user", "set-tier", "local@localhost", "gold"), 2, "gold", "enterprise")
    assert_error_line(await cli.run("user", "set-tier", "nobody@example.org", "pro"), 2, "no user nobody@example.org")
    assert_error_line(await cli.run("user", "set-tier", str(UUID(int=1)), "pro"), 2, "no such user")
    assert_error_line(await cli.run("user", "set-tier", "local@localhost"), 2, "TIER")
    wrong = await cli.run("usage", TIER_LIMITS='{"free": {"jobs_per_day": -1}}')
    assert_error_line(wrong, 2, "TIER_LIMITS: free.jobs_per_day must be 0 to")
