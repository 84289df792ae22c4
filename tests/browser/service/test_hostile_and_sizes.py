"""Pages of repositories, evaluations and the account at several widths, with texts that try to be markup."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from infrastructure.database.engine import Database
from tests.browser.service.conftest import SIZES, Visit
from tests.browser.service.service_page import ServicePage
from tests.fixtures.control.evaluations import submit_evaluation
from tests.fixtures.waiting import until
from worker.client import Client, FollowSettings, RepositorySettings
from worker.client.operator import OperatorClient

HOSTILE = "</style></script><script>alert(1)</script>\u202e" + "x" * 120 + "<img src=x onerror=alert(1)>"
URL = "https://github.com/owner/repo"


async def add_repositories(client: Client, database: Database, user_id: UUID) -> dict[str, str]:
    """Make repositories in several states, and return the paths of the pages that show them."""
    plain = await client.repositories.add(user_id, url=f"{URL}-1", schedule="daily")
    settings = RepositorySettings(public=True, branches=("main", "dev"), exclude=("docs/*",))
    added = await client.repositories.add(user_id, url=f"{URL}-2", settings=settings, tags={"domain": ["web"]})
    await client.repositories.rotate_hook_secret(user_id, added.repository_id)
    for each in (plain, added):
        await client.repositories.follow(user_id, each.repository_id, FollowSettings())
    texts = dict.fromkeys(("full_name", "description", "last_error", "default_branch", "language"), HOSTILE)
    changes = ", ".join(f"{name} = :{name}" for name in texts)
    heads = json.dumps({HOSTILE: HOSTILE})
    statement = f"""UPDATE repositories SET {changes}, heads = CAST(:heads AS jsonb), analysis_status = 'failed',
        failures = 3, last_checked_at = now(), check_requested_at = NULL, check_lease_until = NULL WHERE id = :id"""  # noqa: S608
    async with database.unit_of_work() as work:
        await work.execute(text(statement), {**texts, "heads": heads, "id": added.repository_id})
        await work.execute(text("REFRESH MATERIALIZED VIEW repository_stats"))
    return {
        "repositories": "/repositories",
        "repositories-followed": "/repositories/followed",
        "repositories-trending": "/repositories/trending",
        "repository": f"/repositories/{plain.repository_id}",
        "repository-hostile": f"/repositories/{added.repository_id}",
    }


async def add_evaluations(client: Client, database: Database, user_id: UUID) -> dict[str, str]:
    """Make an evaluation that has ended and one that waits, with names that no form of ours would have accepted."""
    ended = (await submit_evaluation(client, user_id)).summary.evaluation_id

    async def finished() -> bool:
        return (await client.evaluations.get(user_id, ended)).summary.status.finished

    await until(finished, 60)
    async with OperatorClient.open(client._settings) as operator:
        await operator.fleet.set_paused(paused=True)
    waiting = (await submit_evaluation(client, user_id, ["human", "m" * 100])).summary.evaluation_id
    async with database.unit_of_work() as work:
        statement = "UPDATE evaluation_runs SET name = :text, description = :text, dataset_name = :text"
        await work.execute(text(statement), {"text": HOSTILE})
    return {
        "evaluations": "/evaluations",
        "evaluation": f"/evaluations/{ended}",
        "evaluation-under-way": f"/evaluations/{waiting}",
    }


@pytest.mark.parametrize(("width", "scheme"), SIZES)
async def test_every_page_fits_its_window_and_is_accessible(
    visit: Visit, client: Client, database: Database, user_id: UUID, width: int, scheme: str
) -> None:
    async with visit(width, scheme) as page:
        await check_pages(page, client, database, user_id, f"{width}-{scheme}")


async def check_pages(page: ServicePage, client: Client, database: Database, user_id: UUID, size: str) -> None:
    await page.goto("/repositories")
    await page.check(f"repositories-empty-{size}")
    expires = datetime.now(UTC) + timedelta(days=30)
    await client.keys.create(user_id, name="n" * 100, expires_at=expires)
    await client.keys.revoke(user_id, (await client.keys.create(user_id, name="old")).key.key_id)
    paths = {
        **await add_repositories(client, database, user_id),
        **await add_evaluations(client, database, user_id),
        "account": "/account",
    }
    for name, path in paths.items():
        assert (await page.goto(path)).status == 200, name
        await page.check(f"{name}-{size}")
    await check_refused_forms(page, size)


async def check_refused_forms(page: ServicePage, size: str) -> None:
    """Check pages that a form has made: one that was refused, and the only one that shows a key."""
    await page.goto("/repositories")
    await page.page.get_by_label("https address").fill(f"https://evil.example/{'x' * 300}")
    await page.page.get_by_role("button", name="Track", exact=True).click()
    await page.page.get_by_role("alert").wait_for()
    page.messages = [message for message in page.messages if "422" not in message]
    await page.check(f"repositories-refused-{size}")
    await page.goto("/account")
    await page.page.get_by_label("Name: what it is for").fill("shown once")
    await page.page.get_by_role("button", name="Make the key").click()
    await page.page.get_by_role("status").wait_for()
    await page.check(f"account-key-{size}")
