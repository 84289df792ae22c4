"""The projects of a user, each with its newest run and the quality scores before it."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import text

from domain.runs import ProjectSummary
from infrastructure.database.engine import Database

SCORES_SHOWN = 30
"""Scores of one project: those of its newest runs of the newest run's branch."""

# One index entry a project is read, not one a run: each step looks for the next greater key.
_NEXT_KEYS = """
    WITH RECURSIVE keys AS (
        (SELECT project_key FROM analysis_runs
         WHERE user_id = :user_id AND project_key IS NOT NULL AND project_key > :after
         ORDER BY project_key LIMIT 1)
        UNION ALL
        SELECT (
            SELECT next.project_key FROM analysis_runs AS next
            WHERE next.user_id = :user_id AND next.project_key IS NOT NULL AND next.project_key > keys.project_key
            ORDER BY next.project_key LIMIT 1)
        FROM keys WHERE keys.project_key IS NOT NULL
    ), chosen AS MATERIALIZED (SELECT project_key FROM keys WHERE project_key IS NOT NULL LIMIT :limit)
"""
_GIVEN_KEYS = "WITH chosen AS (SELECT project_key FROM unnest(CAST(:keys AS text[])) AS given (project_key))"
_SUMMARIES = f"""
    SELECT chosen.project_key, newest.*, (
        SELECT array_agg(scored.quality_score ORDER BY scored.created_at) FROM (
            SELECT quality_score, created_at FROM analysis_runs
            WHERE user_id = :user_id AND project_key = chosen.project_key
                AND git_branch IS NOT DISTINCT FROM newest.git_branch
            ORDER BY created_at DESC LIMIT {SCORES_SHOWN}
        ) AS scored
    ) AS scores
    FROM chosen CROSS JOIN LATERAL (
        SELECT run_id, created_at, git_repo_url, project_name, upload_filename, git_branch, quality_score,
            review_verdict, tool_versions
        FROM analysis_runs
        WHERE user_id = :user_id AND project_key = chosen.project_key
        ORDER BY created_at DESC LIMIT 1
    ) AS newest
    ORDER BY chosen.project_key
"""  # nosec B608 # noqa: S608 - no input in it
_LIST, _FIND = text(_NEXT_KEYS + _SUMMARIES), text(_GIVEN_KEYS + _SUMMARIES)


async def fetch_projects(database: Database, user_id: UUID, *, after: str, limit: int) -> list[ProjectSummary]:
    """Return the user's projects in the order of their keys, those after the key `after`."""
    rows = await database.fetch(_LIST, {"user_id": user_id, "after": after, "limit": limit})
    return [_summary(row) for row in rows]


async def find_projects(database: Database, user_id: UUID, keys: Collection[str]) -> list[ProjectSummary]:
    """Return those of the user's projects that have these keys, in the order of their keys."""
    rows = await database.fetch(_FIND, {"user_id": user_id, "keys": list(keys)})
    return [_summary(row) for row in rows]


def _summary(row: Mapping[str, Any]) -> ProjectSummary:
    return ProjectSummary(
        project_key=row["project_key"],
        run_id=row["run_id"],
        created_at=row["created_at"],
        name=row["project_name"] or row["git_repo_url"] or row["upload_filename"] or row["project_key"],
        branch=row["git_branch"],
        quality_score=None if row["quality_score"] is None else float(row["quality_score"]),
        review_verdict=row["review_verdict"],
        tool_versions=row["tool_versions"] or {},
        scores=[None if score is None else float(score) for score in row["scores"]],
    )
