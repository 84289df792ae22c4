"""What lists of tracked repositories need of many at once: those that may be seen, follows, newest runs."""

from dataclasses import replace
from uuid import UUID, uuid4

from domain.runs import RunOrigin
from domain.tracking.follows import FollowSettings
from domain.tracking.settings import RepositorySettings
from infrastructure.database.engine import Database
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from tests.fixtures.jobs import new_run
from worker.client import Client

URL = "https://github.com/owner/repo"


async def test_many_repositories_are_those_that_the_user_may_see(client: Client, user_id: UUID) -> None:
    other = await client.get_or_create_user("bob@example.org")
    own = await client.repositories.add(user_id, url=URL)
    private = await client.repositories.add(other, url=URL)
    public = await client.repositories.add(
        other, url=f"{URL}2", settings=RepositorySettings(public=True, branches=("secret",))
    )
    ids = [each.repository_id for each in (own, private, public)]
    found = await client.repositories.get_many(user_id, [*ids, uuid4()])
    assert found.keys() == {own.repository_id, public.repository_id}
    assert found[own.repository_id] == own
    assert found[public.repository_id].settings == {"public": True}
    assert await client.repositories.get_many(user_id, []) == {}


async def test_follows_are_those_of_the_user(client: Client, user_id: UUID) -> None:
    other = await client.get_or_create_user("bob@example.org")
    first, second = [
        await client.repositories.add(user_id, url=f"{URL}{n}", settings=RepositorySettings(public=True))
        for n in range(2)
    ]
    follow = await client.repositories.follow(user_id, first.repository_id, FollowSettings())
    await client.repositories.follow(other, second.repository_id, FollowSettings())
    ids = [first.repository_id, second.repository_id, uuid4()]
    assert await client.repositories.follows(user_id, ids) == {first.repository_id: follow}
    assert await client.repositories.follows(user_id, []) == {}


async def test_projects_are_found_by_their_urls_with_and_without_git(
    client: Client, user_id: UUID, database: Database
) -> None:
    other = await client.get_or_create_user("bob@example.org")
    runs = [
        replace(new_run(owner, job_id=url), origin=RunOrigin(submission_type="github", git_repo_url=url))
        for owner, url in ((user_id, URL), (user_id, f"{URL}.git"), (user_id, f"{URL}2"), (other, f"{URL}3"))
    ]
    for run in runs:
        async with database.unit_of_work() as work:
            await RunRepository(work).insert_many([SerializedRun.of(run)])
    found = await client.projects.of_urls(user_id, [URL, f"{URL}/", f"{URL}2", f"{URL}3", "", "nonsense"])
    assert {url: project.run_id for url, project in found.items()} == {
        URL: runs[1].run_id, f"{URL}/": runs[1].run_id, f"{URL}2": runs[2].run_id
    }  # fmt: skip
    assert len(found[URL].scores) == 2
    assert await client.projects.of_urls(user_id, []) == {}
