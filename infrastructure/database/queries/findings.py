"""The findings of a run, filtered where they are stored: their document may have 50,000."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import NotFoundError
from domain.findings.roles import Role
from domain.findings.selection import FindingFilter
from domain.text import JSON, printable

# Rows of other programs may hold other shapes, and runs of earlier versions neither severities nor roles. Their
# findings count as low, as in exports, and as of role source, as in comparisons.
_ITEMS = "CASE jsonb_typeof(findings -> 'items') WHEN 'array' THEN findings -> 'items' ELSE '[]' END"
_MATCHING = f"""
    WITH run AS (SELECT findings, file_tree FROM analysis_runs WHERE run_id = :run_id),
    others AS MATERIALIZED (
        SELECT node ->> 'path' AS path, node ->> 'role' AS role
        FROM run, jsonb_path_query(
            file_tree, 'strict $.** ? (@.type == "file" && @.role != "{Role.SOURCE}" && exists (@.metrics))'
        ) AS node
    ),
    matching AS (
        SELECT listed.item, listed.ordinal, coalesce(others.role, '{Role.SOURCE}') AS role
        FROM run
        CROSS JOIN LATERAL jsonb_array_elements({_ITEMS}) WITH ORDINALITY AS listed (item, ordinal)
        LEFT JOIN others ON others.path = listed.item ->> 'path'
        WHERE jsonb_typeof(listed.item) = 'object'
            AND (cardinality(CAST(:states AS text[])) = 0 OR listed.item ->> 'state' = ANY (CAST(:states AS text[])))
            AND coalesce(listed.item ->> 'severity', 'low') = ANY (CAST(:severities AS text[]))
            AND (cardinality(CAST(:metrics AS text[])) = 0 OR listed.item ->> 'metric' = ANY (CAST(:metrics AS text[])))
            AND (CAST(:path AS text) IS NULL OR listed.item ->> 'path' LIKE CAST(:path AS text))
    )
"""  # nosec B608 # noqa: S608 - no input in it
_PAGE = text(f"""{_MATCHING}
    SELECT item, ordinal, role FROM matching
    WHERE ordinal > :after AND (cardinality(CAST(:roles AS text[])) = 0 OR role = ANY (CAST(:roles AS text[])))
    ORDER BY ordinal LIMIT :limit
""")  # nosec B608 # noqa: S608 - as above
_COUNTS = text(f"{_MATCHING} SELECT role, count(*) AS number FROM matching GROUP BY role")  # nosec B608 # noqa: S608 - as above
_ABOUT = text(f"""
    SELECT
        CASE jsonb_typeof(findings -> 'total') WHEN 'number' THEN CAST(findings -> 'total' AS int) ELSE 0 END
            - jsonb_array_length({_ITEMS}) AS unlisted,
        comparison IS NOT NULL AS compared,
        ARRAY(SELECT jsonb_object_keys(
            CASE jsonb_typeof(findings -> 'metrics') WHEN 'object' THEN findings -> 'metrics' ELSE metrics END
        )) AS metrics
    FROM analysis_runs WHERE run_id = :run_id
""")  # nosec B608 # noqa: S608 - no input in it


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFinding:
    """A finding as the run stores it, its position in the run's list (from 1), and the role of its file."""

    ordinal: int
    role: str
    item: Mapping[str, JSON]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingsList:
    """What a run says of its list of findings.

    `unlisted` is the number of findings beyond the limit of the list, `metrics` are those that may have findings, and
    `compared` says whether findings have states.
    """

    unlisted: int
    compared: bool
    metrics: frozenset[str]


class FindingQuery:
    """The findings of one run, within one unit of work. The caller checks who owns the run."""

    def __init__(self, connection: AsyncConnection, run_id: UUID) -> None:
        self._connection = connection
        self._run_id = run_id

    async def about(self) -> FindingsList:
        """Return what is known of the list. Raises NotFoundError."""
        row = (await self._connection.execute(_ABOUT, {"run_id": self._run_id})).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no run {self._run_id}")
        return FindingsList(unlisted=max(0, row.unlisted), compared=row.compared, metrics=frozenset(row.metrics))

    async def page(self, chosen: FindingFilter, *, after: int, limit: int) -> Sequence[ListedFinding]:
        """Return the findings after that position, in the order of the list, at most `limit`."""
        values = {**self._parameters(chosen), "roles": [str(role) for role in chosen.roles]}
        rows = await self._connection.execute(_PAGE, {**values, "after": after, "limit": limit})
        return [ListedFinding(ordinal=row.ordinal, role=row.role, item=row.item) for row in rows]

    async def count_by_role(self, chosen: FindingFilter) -> Mapping[str, int]:
        """Return the number of findings that match, in files of any role, by role."""
        rows = await self._connection.execute(_COUNTS, self._parameters(chosen))
        return {row.role: row.number for row in rows}

    def _parameters(self, chosen: FindingFilter) -> dict[str, Any]:
        return {
            "run_id": self._run_id,
            "states": [str(state) for state in chosen.states],
            "severities": [str(severity) for severity in chosen.severities],
            "metrics": [printable(name) for name in chosen.metrics],
            "path": None if chosen.path is None else like_pattern(chosen.path),
        }


def like_pattern(path: str) -> str:
    """Return the pattern of SQL's LIKE for a path with `*` and `?`. Paths are stored as `printable` returns them."""
    escaped = printable(path).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")
