"""Checks against a real git server: what a push, a rewritten, a deleted and a new branch lead to."""

from collections.abc import Callable

from sqlalchemy import text

from domain.tracking.repository import AnalysisStatus
from domain.tracking.settings import RepositorySettings
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.network.git_server import Fault
from tests.integration.worker.tracking.conftest import Tracked
from worker.client.repositories.changes import RepositoryChanges


async def test_a_new_repository_is_analysed_at_once_and_a_push_gives_one_job(tracked: Tracked) -> None:
    repository_id = await tracked.add()
    assert (await tracked.get(repository_id)).analysis_status is AnalysisStatus.PENDING
    await tracked.tick()
    first = tracked.tree.head()
    assert await tracked.jobs() == [{"branch": "main", "head": first, "status": "pending"}]
    found = await tracked.get(repository_id)
    assert (found.heads, found.default_branch) == ({"main": first}, "main")
    assert (found.analysis_status, found.failures, found.last_error) == (AnalysisStatus.IN_PROGRESS, 0, None)
    for _ in range(3):
        await tracked.check(repository_id)
    assert len(await tracked.jobs()) == 1
    second = tracked.tree.commit(a_py="x = 3\n")
    for _ in range(3):
        await tracked.check(repository_id)
    assert await tracked.heads() == [first, second]


async def test_the_job_names_its_repository_and_the_default_branch_not(tracked: Tracked) -> None:
    repository_id = await tracked.add()
    await tracked.tick()
    (job,) = await tracked.client.list_jobs(tracked.user_id)
    assert job.options == {"repository_id": str(repository_id)}
    assert job.source_metadata["git_branch"] is None
    assert job.source_metadata["git_repo_url"] == tracked.server.url("owner/repository")


async def test_a_rewritten_branch_gives_one_job(tracked: Tracked) -> None:
    repository_id = await tracked.add()
    await tracked.tick()
    first = tracked.tree.head()
    tracked.tree.git("reset", "-q", "--hard", "HEAD~1")
    rewritten = tracked.tree.commit("another", a_py="x = 9\n")
    for _ in range(2):
        await tracked.check(repository_id)
    assert await tracked.heads() == [first, rewritten]


async def test_watched_branches_have_a_job_each(tracked: Tracked) -> None:
    main = tracked.tree.head()
    tracked.tree.git("checkout", "-q", "-b", "dev")
    dev = tracked.tree.commit(a_py="x = 4\n")
    tracked.tree.git("checkout", "-q", "main")
    repository_id = await tracked.add(settings=RepositorySettings(branches=("main", "dev")))
    await tracked.tick()
    assert {(job["branch"], job["head"]) for job in await tracked.jobs()} == {("main", main), ("dev", dev)}
    jobs = await tracked.client.list_jobs(tracked.user_id)
    assert {job.source_metadata["git_branch"] for job in jobs} == {None, "dev"}
    assert (await tracked.get(repository_id)).heads == {"main": main, "dev": dev}


async def test_a_deleted_branch_is_a_clear_state_and_comes_back_without_a_job(tracked: Tracked) -> None:
    tracked.tree.git("branch", "dev")
    repository_id = await tracked.add(settings=RepositorySettings(branches=("main", "dev")))
    await tracked.tick()
    assert len(await tracked.jobs()) == 2
    tracked.tree.git("branch", "-D", "dev")
    await tracked.check(repository_id)
    found = await tracked.get(repository_id)
    assert (found.analysis_status, found.failures) == (AnalysisStatus.FAILED, 1)
    assert found.last_error == (
        "branch 'dev' was deleted or renamed on the host; choose other branches, or push it again"
    )
    assert len(await tracked.jobs()) == 2
    pushed = tracked.tree.commit(a_py="x = 5\n")
    await tracked.check(repository_id)
    assert (await tracked.heads())[2:] == [pushed]  # the other branch goes on
    assert (await tracked.get(repository_id)).analysis_status is AnalysisStatus.FAILED
    tracked.tree.git("branch", "dev", "HEAD~1")
    await tracked.check(repository_id)
    found = await tracked.get(repository_id)
    assert (found.analysis_status, found.failures, found.last_error) == (AnalysisStatus.IN_PROGRESS, 0, None)
    assert len(await tracked.jobs()) == 3


async def test_the_deleted_default_branch_is_named(tracked: Tracked) -> None:
    repository_id = await tracked.add()
    await tracked.tick()
    tracked.tree.git("checkout", "-q", "-b", "other")
    tracked.tree.git("branch", "-D", "main")
    tracked.tree.git("symbolic-ref", "HEAD", "refs/heads/main")
    await tracked.check(repository_id)
    found = await tracked.get(repository_id)
    assert found.last_error.startswith("branch 'main' was deleted or renamed")
    assert len(await tracked.jobs()) == 1


async def test_another_default_branch_is_watched_from_then_on(tracked: Tracked) -> None:
    repository_id = await tracked.add()
    await tracked.tick()
    tracked.tree.git("checkout", "-q", "-b", "trunk")
    head = tracked.tree.commit(a_py="x = 6\n")
    await tracked.check(repository_id)
    found = await tracked.get(repository_id)
    assert (found.default_branch, found.heads["trunk"]) == ("trunk", head)
    assert (await tracked.jobs())[-1]["branch"] == "trunk"


async def test_a_branch_that_never_was_and_an_empty_repository_fail(
    tracked: Tracked, new_tree: Callable[[str], WorkTree]
) -> None:
    repository_id = await tracked.add(settings=RepositorySettings(branches=("nothing",)))
    await tracked.tick()
    assert (await tracked.get(repository_id)).last_error == (
        "branch 'nothing' not found in the repository; choose other branches"
    )
    empty = new_tree("empty")
    empty.git("update-ref", "-d", "refs/heads/main")
    tracked.server.add("owner/empty", empty.dot_git)
    repository_id = await tracked.add("owner/empty")
    await tracked.tick()
    assert (await tracked.get(repository_id)).last_error.startswith("the repository is empty")
    assert await tracked.jobs() == []


async def test_a_detached_head_is_analysed(tracked: Tracked) -> None:
    tracked.tree.git("checkout", "-q", "--detach")
    head = tracked.tree.head()
    repository_id = await tracked.add()
    await tracked.tick()
    assert (await tracked.get(repository_id)).heads == {"HEAD": head}
    assert await tracked.heads() == [head]


async def test_a_private_repository_needs_its_token_which_is_stored_encrypted(tracked: Tracked) -> None:
    tracked.server.tokens["owner/repository"] = "s3cret-token"
    repository_id = await tracked.add()
    await tracked.tick()
    found = await tracked.get(repository_id)
    assert found.last_error.startswith("authentication required")
    wrong = RepositoryChanges(token="wr0ng-token")
    await tracked.client.repositories.update(tracked.user_id, repository_id, wrong)
    await tracked.tick()
    assert (await tracked.get(repository_id)).last_error.startswith("authentication failed")
    right = RepositoryChanges(token="s3cret-token")
    changed = await tracked.client.repositories.update(tracked.user_id, repository_id, right)
    await tracked.tick()
    assert await tracked.heads() == [tracked.tree.head()]
    (job,) = await tracked.client.list_jobs(tracked.user_id)
    assert await tracked.services.vault.get(job.job_id) == "s3cret-token"
    async with tracked.database.unit_of_work() as work:
        tables = ("repositories", "jobs", "audit_logs")
        stored = [row for table in tables for row in await work.scalars(text(f"SELECT t::text FROM {table} AS t"))]  # noqa: S608 - fixed names
    assert "s3cret-token" not in "".join((*stored, repr(changed), repr(found)))
    assert changed.has_token


async def test_a_repository_that_has_gone_or_moved_says_so(tracked: Tracked) -> None:
    gone = await tracked.add("owner/gone")
    tracked.server.fail("owner/moved", Fault(301, {"Location": "https://127.0.0.1/other/place"}))
    moved = await tracked.add("owner/moved")
    await tracked.tick()
    assert (await tracked.get(gone)).last_error.startswith("repository not found")
    assert (await tracked.get(moved)).last_error.startswith("the repository has moved")
    assert await tracked.jobs() == []
