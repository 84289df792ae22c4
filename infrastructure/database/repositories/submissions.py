"""Submissions: insert one or many jobs in one transaction, under the user's lock and within its limits."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import Action, Actor, Resource
from domain.errors import InvalidInputError, LimitExceededError
from domain.jobs import OPTIONS_VERSION, SELECTION_VERSION, UPLOADS_VERSION, Job, JobStatus
from domain.options import JobOptions
from domain.plans import PlanLimits, Plans
from domain.sources import SMALL_UPLOAD_BYTES, SourceKind
from domain.text import JSON, one_line, safe_json
from infrastructure.database.access.audit_statements import actor_values, insert_entries
from infrastructure.database.access.usage import COUNT_JOBS, UsageRepository, count_to, limit_values
from infrastructure.database.repositories.claims import TURN_OF_USER
from infrastructure.database.repositories.mapping import JOB_COLUMNS, job_from_row

MAX_KEY_LENGTH = 200

_BY_KEYS = text(f"""
    SELECT {JOB_COLUMNS} FROM jobs
    WHERE user_id = :user_id AND idempotency_key = ANY(CAST(:keys AS varchar[]))
""")  # nosec B608 # noqa: S608 - no input in it

_LOG = insert_entries(
    "new",
    Action.SUBMIT,
    Resource.JOB,
    user="CAST(:user_id AS uuid)",
    resource="new.job_id",
    details="jsonb_build_object('source', new.kind)",
)

# Creation times differ by a microsecond to keep the order of submission in lists. The upload has a table of its own,
# so that no poll, claim or heartbeat reads it; workers that do not know that table leave jobs of version 2 alone.
_INSERT = text(f"""
    WITH {COUNT_JOBS}, new AS MATERIALIZED (
        SELECT new.* FROM counted, unnest(
            CAST(:ids AS varchar[]), CAST(:kinds AS varchar[]), CAST(:metadata AS text[]), CAST(:keys AS varchar[]),
            CAST(:notify_urls AS varchar[]), CAST(:uploads AS bytea[]), CAST(:smalls AS boolean[]),
            CAST(:options AS text[]), CAST(:versions AS smallint[])
        ) WITH ORDINALITY AS new (job_id, kind, metadata, key, notify_url, upload, small, options, version, place)
    ), uploaded AS (
        INSERT INTO job_uploads (job_id, data) SELECT job_id, upload FROM new WHERE upload IS NOT NULL
    ), logged AS ({_LOG}), first AS MATERIALIZED (
        SELECT {TURN_OF_USER.format(user="CAST(:user_id AS uuid)")} AS turn
    )
    INSERT INTO jobs (
        job_id, user_id, status, source_kind, source_metadata, idempotency_key, notify_url, version, small, turn,
        options, created_at)
    SELECT new.job_id, :user_id, '{JobStatus.PENDING}', new.kind, CAST(new.metadata AS jsonb), new.key, new.notify_url,
        new.version, new.small, first.turn + 2 * (new.place - 1), CAST(new.options AS jsonb),
        now() + (new.place - 1) * interval '1 microsecond'
    FROM new, first
    RETURNING {JOB_COLUMNS}
""")  # nosec B608 # noqa: S608 - no input in it


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to insert. A webhook delivery goes to `notify_url` when the job ends."""

    job_id: str
    source_kind: SourceKind
    source_metadata: Mapping[str, JSON] = field(repr=False)
    upload: bytes | None = field(default=None, repr=False)
    idempotency_key: str | None = None
    notify_url: str | None = None
    options: JobOptions = field(default_factory=JobOptions)

    @property
    def version(self) -> int:
        """The version of the job's row: workers leave those of a higher version than they know to others."""
        options = self.options.to_json().keys()
        if options - {"baseline", "gate"}:
            return SELECTION_VERSION
        return OPTIONS_VERSION if options else 1 if self.upload is None else UPLOADS_VERSION

    def __post_init__(self) -> None:
        """Raise InvalidInputError for a bad idempotency key."""
        key = self.idempotency_key
        if key is not None and (not key or len(key) > MAX_KEY_LENGTH or not key.isprintable()):
            raise InvalidInputError(f"an idempotency key must be 1 to {MAX_KEY_LENGTH} printable characters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The job of a submission. `created` is False if an earlier submission with the same idempotency key made it."""

    job: Job
    created: bool


class SubmissionRepository:
    """Inserts into `jobs`, and counts what it inserts, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._usage = UsageRepository(connection)

    async def submit(
        self,
        user_id: UUID,
        new: Sequence[NewJob],
        plans: Plans,
        actor: Actor = Actor(),  # noqa: B008 - frozen
    ) -> list[Submitted]:
        """Insert pending jobs, all or none, under the user's lock, so that concurrent submissions respect the limits.

        Returns the jobs in the order of `new`. The same idempotency key returns the same job, also within one call, and
        counts once. The caller enqueues the created jobs after the commit. Nothing is written where LimitExceededError
        is raised. Raises also InvalidInputError for an upload that is too large for the user's plan, and NotFoundError
        for an unknown user.
        """
        limits = plans.of(await self._usage.lock_user(user_id))
        known = await self._by_keys(user_id, [job.idempotency_key for job in new if job.idempotency_key is not None])
        wanted: dict[str, NewJob] = {}
        for job in new:
            if job.idempotency_key not in known:
                wanted.setdefault(job.idempotency_key or job.job_id, job)
        _check_uploads(new, wanted, limits)
        created = await self._insert(user_id, list(wanted.values()), limits, actor) if wanted else {}
        new_by_key = {job.idempotency_key: job for job in created.values() if job.idempotency_key is not None}
        return [
            Submitted(job=created[job.job_id], created=True)
            if job.job_id in created
            else Submitted(job={**new_by_key, **known}[str(job.idempotency_key)], created=False)
            for job in new
        ]

    async def _by_keys(self, user_id: UUID, keys: Sequence[str]) -> dict[str, Job]:
        if not keys:
            return {}
        rows = await self._connection.execute(_BY_KEYS, {"user_id": user_id, "keys": keys})
        return {str(row["idempotency_key"]): job_from_row(row) for row in rows.mappings()}

    async def _insert(self, user_id: UUID, new: Sequence[NewJob], limits: PlanLimits, actor: Actor) -> dict[str, Job]:
        values = {**_columns(user_id, new), **limit_values(limits), **actor_values(actor)}
        rows = (await self._connection.execute(_INSERT, values)).mappings().all()
        if not rows:
            limits.check_submission(await self._usage.usage(user_id, count_to=count_to(limits)), len(new))
            raise LimitExceededError("a limit of your plan was used up just now; try again")
        return {str(row["job_id"]): job_from_row(row) for row in rows}


def _columns(user_id: UUID, new: Sequence[NewJob]) -> dict[str, JSON]:
    return {
        "user_id": user_id,
        "count": len(new),
        "ids": [job.job_id for job in new],
        "kinds": [job.source_kind.value for job in new],
        "metadata": [json.dumps(safe_json(job.source_metadata), allow_nan=False) for job in new],
        "keys": [job.idempotency_key for job in new],
        "notify_urls": [job.notify_url for job in new],
        "uploads": [job.upload for job in new],
        "options": [json.dumps(job.options.to_json(), allow_nan=False) for job in new],
        "versions": [job.version for job in new],
        "smalls": [job.upload is not None and len(job.upload) <= SMALL_UPLOAD_BYTES for job in new],
    }


def _check_uploads(new: Sequence[NewJob], wanted: Mapping[str, NewJob], limits: PlanLimits) -> None:
    """Raise InvalidInputError for an upload that is too large for the user's plan."""
    for place, job in enumerate(new, start=1):
        size = 0 if job.upload is None else len(job.upload)
        if size > limits.upload_bytes and (job.idempotency_key or job.job_id) in wanted:
            name = one_line(str(job.source_metadata.get("upload_filename")), 80)
            which = f"submission {place} of {len(new)}: " if len(new) > 1 else ""
            raise InvalidInputError(
                f"{which}{name!r} ({size} bytes) is larger than {limits.upload_bytes // 1024**2} MB"
                f" (plan {limits.tier}; MAX_UPLOAD_MB and TIER_LIMITS)"
            )
