"""Projects as a user names them: a URL, a project's name, the name of an uploaded file, or the id of a run."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import NotFoundError
from domain.findings.baseline import Project
from domain.text import one_line
from infrastructure.database.queries.trends import TrendQuery
from infrastructure.database.repositories.runs import RunRepository
from worker.client.accounts.ownership import owned_run


async def find_project_key(work: AsyncConnection, user_id: UUID, named: str) -> str:
    """Return the key of the user's project with that URL, else name, else file name, else with a run of that id.

    Raises NotFoundError where there is none, ForbiddenError for the id of another user's run, and InvalidInputError
    for a beginning of several ids.
    """
    projects = (
        Project.of(url=named, name=None, filename=None),
        Project.of(url=None, name=named, filename=None),
        Project.of(url=None, name=None, filename=named),
    )
    keys = [project.key for project in projects if project is not None]
    query = TrendQuery(work, user_id)
    if (known := await query.first_known(keys)) is not None:
        return known
    runs = RunRepository(work)
    try:
        run = owned_run(await runs.summary(await runs.find_id(named, user_id)), user_id)
    except NotFoundError:
        raise NotFoundError(
            f"no run is of a project {one_line(named, 80)!r}: name a URL, a project's name, a file name or a run's id"
        ) from None
    if (of_run := await query.project_key_of(run.run_id)) is None:
        raise NotFoundError(f"run {run.run_id} is of no project")
    return of_run
