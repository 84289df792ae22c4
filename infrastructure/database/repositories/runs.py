"""Runs: finished analyses."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from sqlalchemy import TextClause, func, select, text, tuple_, union
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import Action, Actor, Resource
from domain.errors import InvalidInputError, NotFoundError
from domain.findings.baseline import Candidate
from domain.findings.measured_run import MeasuredRun
from domain.gate.evaluation import KEPT_POLICIES, GateResult, Verdict, evaluate
from domain.gate.policy import Policy
from domain.gate.review import Review
from domain.metrics.report import Analysis
from domain.options import evaluation_id_of
from domain.runs import NewRun, Run, RunCursor, RunSummary
from domain.selection import Selection
from domain.tags import Tags
from domain.text import JSON, one_line, printable, safe_json
from infrastructure.database.access.audit_statements import actor_values, insert_entries
from infrastructure.database.repositories.mapping import (
    MEASURED_COLUMNS,
    ORIGIN_COLUMNS,
    REVIEW_COLUMNS,
    SUMMARY_COLUMNS,
    measured_from_row,
    run_from_row,
    summary_from_row,
)
from infrastructure.database.tables import AnalysisRunRow
from infrastructure.json_codec import dumps, dumps_for_jsonb

_HEXADECIMAL = re.compile("[0-9a-f]{1,32}")
_TABLE = AnalysisRunRow.__table__
_SUMMARY = [_TABLE.c[name] for name in SUMMARY_COLUMNS]
_SCALARS = (
    "run_id", "user_id", "job_id", "duration_ms", *ORIGIN_COLUMNS, "baseline_run_id", "project_key",
    "on_default_branch", "quality_score", "review_verdict", "evaluation_id",
)  # fmt: skip
_ANALYSIS = tuple(field.name for field in dataclasses.fields(Analysis))
_DOCUMENTS = (*_ANALYSIS, "comparison", *REVIEW_COLUMNS.values(), "options", "tags")
_TYPES = {
    "run_id": "uuid", "user_id": "uuid", "duration_ms": "integer", "baseline_run_id": "uuid",
    "on_default_branch": "boolean", "quality_score": "float8", "evaluation_id": "uuid",
}  # fmt: skip
LOCK_BASELINES = """
    SELECT run_id FROM analysis_runs WHERE run_id = ANY(CAST(:baseline_run_id AS uuid[])) ORDER BY run_id FOR KEY SHARE
"""
"""SQL of the baselines that still exist, for INSERT_RUNS, which knows them as `baselines`."""

# A baseline may have been deleted since it was read.
_VALUES = {
    "baseline_run_id": "(SELECT run_id FROM baselines WHERE baselines.run_id = new.baseline_run_id)",
    **{name: f"CAST({name} AS jsonb)" for name in _DOCUMENTS},
}
INSERT_RUNS = f"""
    INSERT INTO analysis_runs ({", ".join((*_SCALARS, *_DOCUMENTS))})
    SELECT {", ".join(_VALUES.get(name, name) for name in (*_SCALARS, *_DOCUMENTS))}
    FROM unnest({", ".join(f"CAST(:{name} AS {_TYPES.get(name, 'text')}[])" for name in (*_SCALARS, *_DOCUMENTS))})
        AS new ({", ".join((*_SCALARS, *_DOCUMENTS))})
"""  # nosec B608 # noqa: S608 - no input in it
"""SQL that inserts the runs of `run_columns`; `new` is the set of them."""

INSERT_INSIGHTS = """
    INSERT INTO insights (
        run_id, repository_id, type, title, description, confidence_score, data, tags, model_version)
    SELECT new.run_id, CAST(CAST(new.options AS jsonb) ->> 'repository_id' AS uuid), each.type, each.title,
        each.description, each.confidence_score, each.data, each.tags, each.model_version
    FROM unnest(CAST(:run_id AS uuid[]), CAST(:insights AS text[]), CAST(:options AS text[]))
            AS new (run_id, insights, options),
        jsonb_to_recordset(CAST(new.insights AS jsonb)) AS each (
            type text, title text, description text, confidence_score numeric, data jsonb, tags text[],
            model_version text)
"""
"""SQL that inserts the insights of these runs; `new` is the set of the runs."""

_INSERT = text(f"""
    WITH baselines AS MATERIALIZED ({LOCK_BASELINES}), inserted AS ({INSERT_RUNS}) {INSERT_INSIGHTS}
""")  # nosec B608 # no input in it
_INSIGHTS = text("""
    SELECT type, title, description, CAST(confidence_score AS float8) AS confidence_score, data, tags, model_version
    FROM insights WHERE run_id = :run_id ORDER BY confidence_score DESC, type, title
""")
_CANDIDATE = [
    _TABLE.c.run_id, _TABLE.c.created_at, _TABLE.c.git_branch, _TABLE.c.git_commit_sha, _TABLE.c.on_default_branch,
    _TABLE.c.pinned, _TABLE.c.review_verdict, _TABLE.c.completeness["collectors"].label("collectors"),
    _TABLE.c.options["include"].label("include"), _TABLE.c.options["exclude"].label("exclude"),
]  # fmt: skip
_MEASURED = [_TABLE.c[name] for name in MEASURED_COLUMNS]


def _entries(source: str, action: Action) -> str:
    return insert_entries(source, action, Resource.RUN, user="user_id", resource="CAST(run_id AS text)")


# Two runs that were pinned at once would both see the run that was pinned before, and both stay pinned.
_LOCK_OWNER = text("""
    SELECT 1 FROM users WHERE id = (SELECT user_id FROM analysis_runs WHERE run_id = :run_id) FOR NO KEY UPDATE
""")
_PIN = text(f"""
    WITH changed AS MATERIALIZED (
        SELECT run.run_id, run.user_id, run.run_id = chosen.run_id AS pinned
        FROM analysis_runs AS run
        JOIN analysis_runs AS chosen ON run.user_id = chosen.user_id AND run.project_key = chosen.project_key
        WHERE chosen.run_id = :run_id AND (run.pinned OR run.run_id = chosen.run_id)
        ORDER BY run.run_id FOR NO KEY UPDATE OF run
    ), logged AS ({_entries("changed WHERE pinned", Action.PIN)})
    UPDATE analysis_runs SET pinned = changed.pinned FROM changed WHERE analysis_runs.run_id = changed.run_id
""")  # nosec B608 # noqa: S608 - no input in it


_LOCK_TAGS = text("SELECT tags FROM analysis_runs WHERE run_id = :run_id FOR NO KEY UPDATE")
_SET_TAGS = text(f"""
    WITH tagged AS (
        UPDATE analysis_runs SET tags = CAST(:tags AS jsonb) WHERE run_id = :run_id RETURNING run_id, user_id
    )
    {_entries("tagged", Action.TAG_RUN)}
""")  # nosec B608 # noqa: S608 - no input in it

# The foreign keys clear a deleted run from the jobs that refer to it, and from runs that were compared with it.
# These rows are locked first, in the order of their ids: the keys' own statements would wait for them in another order.
_DELETE_CHOSEN = """
    DELETE FROM analysis_runs USING chosen
    WHERE analysis_runs.run_id = chosen.run_id AND (SELECT count(*) FROM jobs_of_chosen) >= 0
"""
_JOBS_OF_CHOSEN = """
    SELECT jobs.job_id FROM jobs JOIN chosen ON jobs.result_run_id = chosen.run_id
    WHERE (SELECT count(*) FROM locked) >= 0 ORDER BY jobs.job_id FOR NO KEY UPDATE OF jobs
"""


def lock_runs(chosen: str) -> str:
    """Return the SQL that locks the runs whose ids `chosen` selects, and those that were compared with them."""
    return f"""
        SELECT run.run_id FROM analysis_runs AS run JOIN (
            SELECT run_id FROM ({chosen}) AS each
            UNION SELECT later.run_id FROM analysis_runs AS later
            WHERE later.baseline_run_id IN (SELECT run_id FROM ({chosen}) AS each)
        ) AS wanted ON run.run_id = wanted.run_id
        ORDER BY run.run_id FOR UPDATE OF run
    """  # nosec B608 # noqa: S608 - no input in it


def delete_runs(chosen: str) -> TextClause:
    """Return the statement that deletes the runs whose ids `chosen` selects; it waits for rows that others hold."""
    return text(f"{_with_locks(chosen)} {_DELETE_CHOSEN}")  # nosec B608 # no input in it


def _with_locks(chosen: str) -> str:
    return f"""
        WITH chosen AS MATERIALIZED ({chosen}), locked AS MATERIALIZED ({lock_runs("SELECT run_id FROM chosen")}),
            jobs_of_chosen AS MATERIALIZED ({_JOBS_OF_CHOSEN})
    """  # nosec B608 # noqa: S608 - no input in it


def delete_free_runs(candidates: str) -> TextClause:
    """Return the statement that deletes those of the runs that `candidates` selects which no other transaction holds.

    A run stays also while another transaction holds a run that was compared with it.
    """
    return text(f"""
        WITH candidates AS MATERIALIZED ({candidates} FOR UPDATE SKIP LOCKED), locked AS MATERIALIZED (
            SELECT later.run_id FROM analysis_runs AS later JOIN candidates ON later.baseline_run_id = candidates.run_id
            FOR UPDATE OF later SKIP LOCKED
        ), chosen AS MATERIALIZED (
            SELECT run_id FROM candidates WHERE NOT EXISTS (
                SELECT 1 FROM analysis_runs AS later WHERE later.baseline_run_id = candidates.run_id
                    AND later.run_id NOT IN (SELECT run_id FROM locked))
        ), jobs_of_chosen AS MATERIALIZED ({_JOBS_OF_CHOSEN})
        {_DELETE_CHOSEN}
    """)  # nosec B608 # noqa: S608 - no input in it


_DELETE = text(f"""
    {_with_locks("SELECT run_id FROM analysis_runs WHERE run_id = :run_id")}
    , deleted AS ({_DELETE_CHOSEN} RETURNING analysis_runs.run_id, analysis_runs.user_id)
    {_entries("deleted", Action.DELETE_RUN)}
""")  # nosec B608 # noqa: S608 - no input in it


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SerializedRun:
    """A run as it is inserted: its documents are JSON that PostgreSQL accepts. `size` is their length in bytes."""

    run_id: UUID
    columns: Mapping[str, JSON] = dataclasses.field(repr=False)
    size: int

    @classmethod
    def of(cls, run: NewRun) -> SerializedRun:
        """Serialize the run."""
        documents: dict[str, str | None] = {name: dumps_for_jsonb(getattr(run.analysis, name)) for name in _ANALYSIS}
        documents |= _others(run)
        scalars = {"run_id": run.run_id, "user_id": run.user_id, "job_id": run.job_id, "duration_ms": run.duration_ms}
        project = run.origin.project
        scalars |= {
            "baseline_run_id": run.baseline_run_id,
            "project_key": None if project is None else project.key,
            "on_default_branch": run.on_default_branch,
            "quality_score": None if run.review is None else run.review.quality_score,
            "review_verdict": None if run.review is None else str(run.review.verdict),
            "evaluation_id": evaluation_id_of(run.options),
        }
        origin = {name: safe_json(getattr(run.origin, name)) for name in ORIGIN_COLUMNS}
        size = sum(len(document) for document in documents.values() if document is not None)
        return cls(run_id=run.run_id, columns={**scalars, **origin, **documents}, size=size)


def run_columns(runs: Sequence[SerializedRun]) -> dict[str, list[JSON]]:
    """Return the values of INSERT_RUNS: the runs column by column."""
    return {name: [run.columns[name] for run in runs] for name in (*_SCALARS, *_DOCUMENTS, "insights")}


def _others(run: NewRun) -> dict[str, str | None]:
    """Return the documents of a run beside its analysis, and its insights, as JSON."""
    documents: dict[str, JSON] = {"comparison": run.comparison, "options": run.options, "tags": run.tags}
    documents["insights"] = [] if run.review is None else [each.to_json() for each in run.review.insights]
    serialized = {name: None if value is None else dumps_for_jsonb(value) for name, value in documents.items()}
    return {**serialized, **(dict.fromkeys(REVIEW_COLUMNS.values()) if run.review is None else _of_review(run.review))}


def _of_review(review: Review) -> Mapping[str, str]:
    unjudged = review.verdict is Verdict.NOT_EVALUATED
    gate = _gate_without_baseline(review.policy) if unjudged else _gate_documents(review.policy, review.gate)
    stated = {"review_strengths": review.strengths, "review_weaknesses": review.weaknesses}
    return {**gate, **{column: dumps_for_jsonb(lines) for column, lines in stated.items()}}


@lru_cache(maxsize=KEPT_POLICIES)
def _gate_without_baseline(policy: Policy) -> Mapping[str, str]:
    return _gate_documents(policy, evaluate(policy, None))


def _gate_documents(policy: Policy, gate: GateResult) -> Mapping[str, str]:
    return {
        "review_policy": dumps_for_jsonb(policy.to_json()),
        "review_criteria_checklist": dumps_for_jsonb([answer.to_json() for answer in gate.answers]),
    }


class RunRepository:
    """The table `analysis_runs`, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def insert_many(self, runs: Sequence[SerializedRun]) -> None:
        """Insert the runs with their insights in one statement."""
        await self._connection.execute(_INSERT, run_columns(runs))

    async def find_id(self, prefix: str, user_id: UUID) -> UUID:
        """Return the id of the user's only run whose id begins with `prefix`, with or without dashes.

        A whole id is returned as it is. Raises NotFoundError where no run matches, and InvalidInputError where several
        do.
        """
        digits = prefix.replace("-", "").lower()
        if not _HEXADECIMAL.fullmatch(digits):
            raise NotFoundError(f"there is no run {one_line(prefix, 80)}")
        first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
        if first == last:
            return first
        query = select(_TABLE.c.run_id).where(_TABLE.c.run_id.between(first, last), _TABLE.c.user_id == user_id)
        found = (await self._connection.scalars(query.limit(2))).all()
        if len(found) > 1:
            raise InvalidInputError(f"several run ids begin with {prefix!r}; give more characters")
        if not found:
            raise NotFoundError(f"there is no run {prefix}")
        return UUID(str(found[0]))

    async def get(self, run_id: UUID) -> Run:
        """Return the whole run. Raises NotFoundError. The caller checks who owns it."""
        row = (await self._connection.execute(select(_TABLE).where(_TABLE.c.run_id == run_id))).mappings().one_or_none()
        if row is None:
            raise NotFoundError(_no_run(run_id))
        return dataclasses.replace(run_from_row(row), insights=await self.insights(run_id))

    async def summary(self, run_id: UUID) -> RunSummary:
        """Return the run without its large documents. Raises NotFoundError."""
        row = (await self._connection.execute(select(*_SUMMARY).where(_TABLE.c.run_id == run_id))).mappings().first()
        if row is None:
            raise NotFoundError(_no_run(run_id))
        return summary_from_row(row)

    async def baseline_candidates(
        self, user_id: UUID, project_key: str, *, before: datetime, limit: int = 50
    ) -> list[Candidate]:
        """Return the project's pinned run and its newest runs from before that time, at most `limit`."""
        own = (_TABLE.c.user_id == user_id) & (_TABLE.c.project_key == project_key)
        newest = select(*_CANDIDATE).where(own, _TABLE.c.created_at < before)
        newest = newest.order_by(_TABLE.c.created_at.desc()).limit(limit)
        pinned = select(*_CANDIDATE).where(own, _TABLE.c.pinned)
        rows = await self._connection.execute(union(newest, pinned))
        return [
            Candidate(
                run_id=row.run_id,
                created_at=row.created_at,
                branch=row.git_branch,
                commit=row.git_commit_sha,
                on_default_branch=bool(row.on_default_branch),
                pinned=row.pinned,
                rejected=row.review_verdict == Verdict.REJECTED,
                collectors=row.collectors or {},
                selection=Selection.of_stored({"include": row.include, "exclude": row.exclude}),
            )
            for row in rows
        ]

    async def measured(self, run_id: UUID) -> MeasuredRun | None:
        """Return what a comparison needs of the run; None where it does not exist."""
        query = select(*_MEASURED).where(_TABLE.c.run_id == run_id)
        row = (await self._connection.execute(query)).mappings().one_or_none()
        return None if row is None else measured_from_row(row)

    async def pin(self, run_id: UUID, actor: Actor = Actor()) -> None:  # noqa: B008 - frozen
        """Make the run its project's baseline in place of any other. A run without a project stays as it is."""
        await self._connection.execute(_LOCK_OWNER, {"run_id": run_id})
        await self._connection.execute(_PIN, {"run_id": run_id, **actor_values(actor)})

    async def file_tree(self, run_id: UUID) -> JSON:
        """Return the run's file tree; None if it has none. Raises NotFoundError."""
        return await self._column(run_id, "file_tree")

    async def history(self, run_id: UUID) -> JSON:
        """Return what the git history says of the run's files; None for an old run. Raises NotFoundError."""
        return await self._column(run_id, "history")

    async def _column(self, run_id: UUID, name: str) -> JSON:
        row = (await self._connection.execute(select(_TABLE.c[name]).where(_TABLE.c.run_id == run_id))).one_or_none()
        if row is None:
            raise NotFoundError(_no_run(run_id))
        return row[0]

    async def insights(self, run_id: UUID) -> list[dict[str, JSON]]:
        """Return the run's insights, the highest confidence first."""
        rows = (await self._connection.execute(_INSIGHTS, {"run_id": run_id})).mappings()
        return [dict(insight) for insight in rows]

    async def lock_tags(self, run_id: UUID) -> dict[str, list[str]]:
        """Return the run's tags, and hold its row. Raises NotFoundError."""
        row = (await self._connection.execute(_LOCK_TAGS, {"run_id": run_id})).one_or_none()
        if row is None:
            raise NotFoundError(_no_run(run_id))
        tags: dict[str, list[str]] = row.tags
        return tags

    async def set_tags(self, run_id: UUID, tags: Tags, actor: Actor) -> None:
        """Replace the run's tags."""
        document = dumps(dict(tags)).decode()
        await self._connection.execute(_SET_TAGS, {"run_id": run_id, "tags": document, **actor_values(actor)})

    async def list_runs(
        self,
        user_id: UUID,
        *,
        limit: int,
        after: RunCursor | None = None,
        project_key: str | None = None,
        branch: str | None = None,
        tags: Tags | None = None,
    ) -> list[RunSummary]:
        """Return one page of a user's runs, newest first, starting after `after`. All pages cost the same.

        With `project_key`, those of that project; with `branch`, those of that branch, for which the user's others are
        read too; with `tags`, those that have all of them.
        """
        place = tuple_(_TABLE.c.created_at, _TABLE.c.run_id)
        query = select(*_SUMMARY).where(_TABLE.c.user_id == user_id)
        if project_key is not None:
            query = query.where(_TABLE.c.project_key == project_key)
        if branch is not None:
            query = query.where(_TABLE.c.git_branch == printable(branch))
        if tags:
            query = query.where(_TABLE.c.tags.contains(dict(tags)))
        if after is not None:
            query = query.where(place < tuple_(after.created_at, after.run_id))
        query = query.order_by(_TABLE.c.created_at.desc(), _TABLE.c.run_id.desc()).limit(limit)
        return [summary_from_row(row) for row in (await self._connection.execute(query)).mappings()]

    async def count(self, user_id: UUID) -> int:
        """Return the number of a user's runs."""
        query = select(func.count()).select_from(_TABLE).where(_TABLE.c.user_id == user_id)
        return int(await self._connection.scalar(query) or 0)

    async def delete(self, run_id: UUID, actor: Actor = Actor()) -> bool:  # noqa: B008 - frozen
        """Delete a run and clear it from the job that refers to it. Returns whether a row was deleted."""
        await self._connection.execute(_LOCK_OWNER, {"run_id": run_id})
        return (await self._connection.execute(_DELETE, {"run_id": run_id, **actor_values(actor)})).rowcount > 0


def _no_run(run_id: UUID) -> str:
    return f"there is no run {run_id}"
