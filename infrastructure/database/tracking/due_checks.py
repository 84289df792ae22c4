"""Checks of all users' tracked repositories in the order in which they are due, for operators."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.tracking.due_checks import DueCheck, DueCheckCursor
from domain.tracking.repository import AnalysisStatus

# Each half reads its partial index from the cursor on; a repository is in one of them. A bound that is not given
# becomes infinite, so that every plan starts there.
_HALF = """
    SELECT id, {at} AS due_at FROM repositories
    WHERE {condition} AND {at} >= coalesce(CAST(:at AS timestamptz), '-infinity')
        AND ({at}, id) > (coalesce(CAST(:at AS timestamptz), '-infinity'), CAST(:id AS uuid))
    ORDER BY {at}, id LIMIT :limit
"""
_ASKED = _HALF.format(
    at="check_requested_at",
    condition="check_requested_at IS NOT NULL AND (check_requested_at <= next_check_at) IS NOT FALSE",
)
_SCHEDULED = _HALF.format(
    at="next_check_at",
    condition="schedule IS NOT NULL AND (check_requested_at <= next_check_at) IS NOT TRUE",
)
_LIST = text(f"""
    SELECT repository.id AS repository_id, repository.full_name, repository.clone_url, users.email AS owner,
        repository.schedule, due.due_at, repository.analysis_status, repository.failures, repository.refusals,
        repository.last_error, repository.last_analyzed,
        (repository.check_lease_until > statement_timestamp()) IS TRUE AS is_running,
        due.due_at < statement_timestamp() AS is_due
    FROM (({_ASKED}) UNION ALL ({_SCHEDULED}) ORDER BY due_at, id LIMIT :limit) AS due
    JOIN repositories AS repository ON repository.id = due.id JOIN users ON users.id = repository.owner_id
    ORDER BY due.due_at, due.id
""")  # nosec B608 # noqa: S608 - no input in it


class DueChecks:
    """The table `repositories` for operators, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list_page(self, *, limit: int, after: DueCheckCursor | None = None) -> list[DueCheck]:
        """Return one page of the checks that are due or scheduled, the one that is due for longest first.

        All pages cost the same.
        """
        place: dict[str, datetime | UUID | None] = {"at": None, "id": UUID(int=0)}
        if after is not None:
            place = {"at": after.due_at, "id": after.repository_id}
        rows = (await self._connection.execute(_LIST, {"limit": limit, **place})).mappings()
        return [DueCheck(**{**row, "analysis_status": AnalysisStatus(row["analysis_status"])}) for row in rows]
