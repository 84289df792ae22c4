"""Shared reports: made, listed, withdrawn and viewed. Who makes or withdraws one leaves an entry in the audit log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import Action, Actor, Resource
from domain.errors import NotFoundError
from domain.reports import NO_REPORT, ReportCursor, SharedReport, is_code
from infrastructure.database.access.audit_statements import actor_values, insert_entries

_COLUMNS = """
    id, run_id, owner_id, short_code, is_public, password_hash, expires_at, max_views, view_count, last_viewed_at,
    created_at, updated_at
"""
_DETAILS = "jsonb_build_object('run_id', run_id)"


def _entries(source: str, action: Action) -> str:
    return insert_entries(
        source, action, Resource.REPORT, user="owner_id", resource="CAST(id AS text)", details=_DETAILS
    )


# The run's row is locked first, as the foreign key would, so that its deletion is seen here and not as an error.
_INSERT = text(f"""
    WITH run AS MATERIALIZED (
        SELECT run_id, user_id FROM analysis_runs WHERE run_id = :run_id FOR KEY SHARE
    ), created AS (
        INSERT INTO reports (run_id, owner_id, short_code, password_hash, expires_at, max_views)
        SELECT run_id, user_id, :code, CAST(:password_hash AS varchar), CAST(:expires_at AS timestamptz),
            CAST(:max_views AS integer)
        FROM run
        RETURNING {_COLUMNS}
    ), logged AS ({_entries("created", Action.SHARE)})
    SELECT {_COLUMNS} FROM created
""")  # nosec B608 # noqa: S608 - no input in it
_BY_CODE = text(f"""
    SELECT {_COLUMNS}, statement_timestamp() AS now FROM reports WHERE short_code = :code
""")  # nosec B608 # noqa: S608 - no input in it
_LIST = f"""
    SELECT {_COLUMNS} FROM reports WHERE owner_id = :owner_id {{after}}
    ORDER BY created_at DESC, id DESC LIMIT :limit
"""  # nosec B608 # noqa: S608 - no input in it
_FIRST_PAGE = text(_LIST.format(after=""))
_LATER_PAGE = text(
    _LIST.format(after="AND (created_at, id) < (CAST(:created_at AS timestamptz), CAST(:report_id AS uuid))")
)
# A report that is withdrawn already is not withdrawn again, and leaves no second entry.
_WITHDRAW = text(f"""
    WITH withdrawn AS (
        UPDATE reports SET is_public = false WHERE id = :report_id AND is_public RETURNING id, run_id, owner_id
    )
    {_entries("withdrawn", Action.UNSHARE)}
""")  # nosec B608 # noqa: S608 - no input in it
# One statement: of views at the same moment, each waits for the row and then looks at the count again.
_COUNT_VIEW = text("""
    UPDATE reports SET view_count = view_count + 1, last_viewed_at = statement_timestamp()
    WHERE id = :report_id AND is_public AND (expires_at IS NULL OR expires_at > statement_timestamp())
        AND (max_views IS NULL OR view_count < max_views)
    RETURNING id
""")
# The deletion of a run locks its reports in another order. Those that are skipped here go with their run, or the user.
_DELETE_OF_USER = text("""
    WITH chosen AS MATERIALIZED (
        SELECT id FROM reports WHERE owner_id = :owner_id ORDER BY created_at, id LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    DELETE FROM reports WHERE id = ANY(ARRAY(SELECT id FROM chosen))
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReport:
    """A report as it is stored, and the database's time."""

    report: SharedReport
    password_hash: str | None
    now: datetime


class ReportRepository:
    """The table `reports`, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(
        self,
        run_id: UUID,
        *,
        code: str,
        password_hash: str | None,
        expires_at: datetime | None,
        max_views: int | None,
        actor: Actor,
    ) -> SharedReport:
        """Insert a report of the run, which belongs to the run's owner. Raises NotFoundError for a run just deleted."""
        values = {
            "run_id": run_id,
            "code": code,
            "password_hash": password_hash,
            "expires_at": expires_at,
            "max_views": max_views,
            **actor_values(actor),
        }
        row = (await self._connection.execute(_INSERT, values)).mappings().one_or_none()
        if row is None:
            raise NotFoundError(f"there is no run {run_id}")
        return _report(row)

    async def find(self, code: str) -> StoredReport:
        """Return the report with this code, withdrawn or not. Raises NotFoundError."""
        row = None
        if is_code(code):
            row = (await self._connection.execute(_BY_CODE, {"code": code})).mappings().one_or_none()
        if row is None:
            raise NotFoundError(NO_REPORT)
        return StoredReport(report=_report(row), password_hash=row["password_hash"], now=row["now"])

    async def list_reports(
        self, owner_id: UUID, *, limit: int, after: ReportCursor | None = None
    ) -> Sequence[SharedReport]:
        """Return one page of the owner's reports, newest first. All pages cost the same."""
        values: dict[str, object] = {"owner_id": owner_id, "limit": limit}
        if after is not None:
            values |= {"created_at": after.created_at, "report_id": after.report_id}
        rows = await self._connection.execute(_FIRST_PAGE if after is None else _LATER_PAGE, values)
        return [_report(row) for row in rows.mappings()]

    async def withdraw(self, report_id: UUID, actor: Actor) -> None:
        """Make the report's code show nothing from now on."""
        await self._connection.execute(_WITHDRAW, {"report_id": report_id, **actor_values(actor)})

    async def count_view(self, report_id: UUID) -> bool:
        """Count one view. Returns False, without counting, where the report may not be seen any more."""
        return await self._connection.scalar(_COUNT_VIEW, {"report_id": report_id}) is not None

    async def delete_of_user(self, owner_id: UUID, limit: int) -> int:
        """Delete up to `limit` reports of the user that no other transaction holds. Returns their number."""
        return (await self._connection.execute(_DELETE_OF_USER, {"owner_id": owner_id, "limit": limit})).rowcount


def _report(row: RowMapping) -> SharedReport:
    return SharedReport(
        report_id=row["id"],
        run_id=row["run_id"],
        owner_id=row["owner_id"],
        code=row["short_code"],
        is_public=row["is_public"],
        has_password=row["password_hash"] is not None,
        expires_at=row["expires_at"],
        max_views=row["max_views"],
        view_count=row["view_count"],
        last_viewed_at=row["last_viewed_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
