"""Backlogs of pending jobs that a claim must not feel, made by INSERT ... SELECT in the turns that submissions give."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

_USERS = """
    INSERT INTO users (email) SELECT lpad(number::text, 7, '0') || '@example.org'
    FROM generate_series(1, CAST(:users AS integer)) AS number
"""

# The first `hog` rows are one user's, who was there first; the others are dealt out to the other users. A user's jobs
# are two turns apart. The first `deferred` rows of all wait for a later time, and have no turn until then.
_PENDING = """
    INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata, turn, small, created_at, run_after)
    SELECT md5('p' || job.number), owner.id, 'pending', 'upload', '{"upload_filename": "a.py"}',
        CASE WHEN job.number > :deferred THEN place.turn END, true,
        now() - make_interval(secs => :size - job.number),
        CASE WHEN job.number > :deferred THEN now() - interval '1 minute' ELSE now() + interval '1 hour' END
    FROM generate_series(1, CAST(:size AS integer)) AS job(number)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN job.number <= :hog THEN 1 ELSE 2 + (job.number - :hog - 1) % (:users - 1) END AS owner,
            CASE WHEN job.number <= :hog THEN 2 * job.number - 1
                ELSE 2 * ((job.number - :hog - 1) / (:users - 1)) + 1 END AS turn
    ) AS place
    JOIN (SELECT id, row_number() OVER (ORDER BY email) AS number FROM users) AS owner ON owner.number = place.owner
"""

_INDEXES = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
    WHERE indrelid = 'jobs'::regclass AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Whose jobs are pending. The numbers are shares of all jobs, but for `users`, which may also be a number."""

    name: str
    users_share: float = 0.0
    users: int = 20
    hog_share: float = 0.0
    deferred_share: float = 0.0

    def parameters(self, size: int) -> dict[str, int]:
        """Return the numbers of jobs and users for a backlog of `size` jobs."""
        users = max(self.users, round(size * self.users_share))
        hog, deferred = round(size * self.hog_share), round(size * self.deferred_share)
        return {"size": size, "users": users + 1, "hog": hog, "deferred": deferred}


BACKLOGS = (
    Backlog(name="many users", users_share=0.1),
    Backlog(name="20 users"),
    Backlog(name="behind a user with a fifth of all jobs", users_share=0.01, hog_share=0.2),
    Backlog(name="behind deferred jobs, 2% of all", users_share=0.1, deferred_share=0.02),
)
"""At 1,000,000 jobs: 100,000 users, 20 users, one user's 200,000 jobs, 20,000 deferred jobs."""


async def fill(engine: AsyncEngine, backlog: Backlog, size: int) -> None:
    """Replace all users and jobs by the backlog, without triggers and foreign keys, and vacuum."""
    parameters = backlog.parameters(size)
    async with engine.begin() as connection:
        await connection.execute(text("TRUNCATE users, queue_statistics, notices CASCADE"))
        await connection.execute(text("SELECT setval('queue_turn', 1, false)"))
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        await connection.execute(text(_USERS), {"users": parameters["users"]})
        # Indexes that are built at the end take a fraction of the time.
        indexes = (await connection.execute(text(_INDEXES))).all()
        for name, _ in indexes:
            await connection.execute(text(f"DROP INDEX {name}"))
        await connection.execute(text(_PENDING), parameters)
        for _, definition in indexes:
            await connection.exec_driver_sql(definition)
    async with engine.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(text("VACUUM (ANALYZE) jobs, users"))
