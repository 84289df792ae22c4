"""The projects of a user: whatever has been analysed under one name."""

from collections.abc import Collection, Mapping
from functools import lru_cache
from uuid import UUID

from domain.findings.baseline import Project
from domain.runs import ProjectSummary
from infrastructure.database.engine import Database
from infrastructure.database.queries.projects import fetch_projects, find_projects
from infrastructure.json_codec import dumps, loads
from worker.results.calibration import standing_to_json

MAX_LISTED_PROJECTS = 100


def project_grade(project: ProjectSummary) -> str | None:
    """Return the grade A to E of the project's newest run, as in its result; None where it is not known."""
    return _grade(project.quality_score, dumps(project.tool_versions))


@lru_cache(maxsize=1_000)
def _grade(quality_score: float | None, tool_versions: bytes) -> str | None:
    """Return the grade; most projects of a list have the same tools. `tool_versions` is JSON, which can be a key."""
    grade: str | None = standing_to_json({}, None, loads(tool_versions), quality_score)["grade"]
    return grade


class ProjectsClient:
    """Projects of users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, user_id: UUID, *, limit: int = 50, after: str | None = None) -> list[ProjectSummary]:
        """Return the user's projects in the order of their keys, at most `limit` and MAX_LISTED_PROJECTS.

        For the next page, pass the last one's `project_key` as `after`; an empty page is the end.
        """
        limit = max(1, min(limit, MAX_LISTED_PROJECTS))
        return await fetch_projects(self._database, user_id, after=(after or "").replace("\0", ""), limit=limit)

    async def of_urls(self, user_id: UUID, urls: Collection[str]) -> Mapping[str, ProjectSummary]:
        """Return by URL the user's projects of these repositories; without those of which nothing was analysed.

        At most MAX_LISTED_PROJECTS are looked for. With and without `.git`, a URL is the same project.
        """
        wanted = [*dict.fromkeys(urls)][:MAX_LISTED_PROJECTS]
        keys = {url: project.key for url in wanted if (project := Project.of(url=url, name=None, filename=None))}
        found = {each.project_key: each for each in await find_projects(self._database, user_id, set(keys.values()))}
        return {url: found[key] for url, key in keys.items() if key in found}
