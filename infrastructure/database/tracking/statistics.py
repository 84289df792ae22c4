"""Statistics of tracked repositories, from the materialized view `repository_stats`."""

from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.tracking.repository import RepositoryStatistics, TrendingRepository
from infrastructure.database.tracking.mapping import REPOSITORY_COLUMNS, repository_from_row

_REFRESH = text("REFRESH MATERIALIZED VIEW CONCURRENTLY repository_stats")
_COLUMNS = """
    stats.repository_id, stats.runs, stats.latest_score, stats.mean_confidence, stats.insights, stats.followers,
    stats.recent_runs, stats.improvement, stats.trending
"""
_GET = text(f"SELECT {_COLUMNS} FROM get_repository_stats(:id) AS stats")  # nosec B608 # noqa: S608 - no input in it

# Public ones come from an index in this order, and own ones by the owner's: neither reads the repositories of others.
_TRENDING = text(f"""
    WITH chosen AS (
        (SELECT stats.* FROM repository_stats AS stats WHERE stats.public
         ORDER BY stats.trending DESC, stats.repository_id LIMIT :limit)
        UNION
        (SELECT stats.* FROM repository_stats AS stats WHERE stats.owner_id = :user_id
         ORDER BY stats.trending DESC, stats.repository_id LIMIT :limit)
    )
    SELECT {REPOSITORY_COLUMNS}, {_COLUMNS} FROM chosen AS stats
    JOIN repositories AS repository ON repository.id = stats.repository_id
    WHERE repository.owner_id = :user_id OR repository.settings @> '{{"public": true}}'
    ORDER BY stats.trending DESC, stats.repository_id LIMIT :limit
""")  # nosec B608 # noqa: S608 - no input in it


class RepositoryStatisticsRepository:
    """The view `repository_stats`, within one unit of work. It lacks repositories younger than its last count."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def refresh(self) -> None:
        """Count anew. Readers are not blocked; a second call waits for the first."""
        await self._connection.execute(_REFRESH)

    async def get(self, repository_id: UUID) -> RepositoryStatistics:
        """Return the repository's numbers; zeros for one that is not counted yet."""
        row = (await self._connection.execute(_GET, {"id": repository_id})).mappings().one_or_none()
        return RepositoryStatistics(repository_id=repository_id) if row is None else _statistics(row)

    async def trending(self, user_id: UUID, limit: int) -> list[TrendingRepository]:
        """Return those of the user's repositories and of the public ones that trend most."""
        rows = (await self._connection.execute(_TRENDING, {"user_id": user_id, "limit": limit})).mappings()
        return [TrendingRepository(repository=repository_from_row(row), statistics=_statistics(row)) for row in rows]


def _statistics(row: RowMapping) -> RepositoryStatistics:
    return RepositoryStatistics(**{name: row[name] for name in RepositoryStatistics.__dataclass_fields__})
