"""What the service answers from: jobs and runs of many users, an API key, and a session in a browser."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text

from domain.keys import MAX_RATE_LIMIT
from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.engine import Database
from infrastructure.database.migrate import upgrade
from infrastructure.settings import Settings
from worker.client.connections import open_connections
from worker.client.operator import OperatorClient

USERS, JOBS, PROJECTS, RUNS_OF_PROJECT = 100, 100_000, 40, 10

_USERS = (
    "INSERT INTO users (email) SELECT number || '@example.org' FROM generate_series(1, CAST(:users AS int)) AS number"
)
_JOBS = """
    INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata, created_at, started_at, finished_at,
        progress, attempt, stage, worker_id)
    SELECT md5(job.number::text), owner.id, 'completed', 'upload',
        jsonb_build_object('upload_filename', 'service-' || job.number % 40 || '.zip', 'project_name', 'service'),
        now() - make_interval(secs => job.number), now() - make_interval(secs => job.number - 1),
        now() - make_interval(secs => job.number - 3), 100, 1, 'finishing', 'replica-1:4711'
    FROM generate_series(1, CAST(:jobs AS int)) AS job(number)
    JOIN (SELECT id, row_number() OVER (ORDER BY email) - 1 AS number FROM users) AS owner
        ON owner.number = job.number % :users
"""
_RUNS = """
    INSERT INTO analysis_runs (user_id, created_at, submission_type, project_name, git_branch, metrics, project_key,
        quality_score, review_verdict)
    SELECT users.id, now() - make_interval(hours => run), 'upload', 'service-' || project, 'main', '{}',
        'name:service-' || project, 60 + (project * run) % 40, 'APPROVED'
    FROM users, generate_series(1, CAST(:projects AS int)) AS project, generate_series(1, CAST(:runs AS int)) AS run
"""
_OF_USER = """
    SELECT jobs.job_id, users.id AS user_id FROM jobs JOIN users ON users.id = jobs.user_id
    ORDER BY users.email, jobs.created_at DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route that is measured: its path with the names of its parameters, and a request's path and headers."""

    name: str
    template: str
    path: str
    headers: Mapping[str, str]


async def seed(settings: Settings) -> list[Route]:
    """Create the schema, fill it, and return the requests of one user."""
    database = Database.from_settings(settings)
    await upgrade(asyncpg_url(settings.postgresql_dsn().get_secret_value()))
    async with database.unit_of_work() as work:
        await work.execute(text(_USERS), {"users": USERS})
        await work.execute(text(_JOBS), {"jobs": JOBS, "users": USERS})
        await work.execute(text(_RUNS), {"projects": PROJECTS, "runs": RUNS_OF_PROJECT})
        owned = (await work.execute(text(_OF_USER))).one()
    async with database.autocommit() as connection:
        await connection.execute(text("VACUUM (ANALYZE)"))
    await database.close()
    async with open_connections(settings) as connections:
        client = OperatorClient(connections, settings).user_client
        key = await client.keys.create(owned.user_id, name="bench", rate_limit=MAX_RATE_LIMIT)
        session = await client.sessions.begin_by_link(await client.sessions.create_link(owned.user_id))
    bearer = {"Authorization": f"Bearer {key.text}"}
    return [
        Route(
            name="status poll", template="/api/v1/jobs/{job_id}", path=f"/api/v1/jobs/{owned.job_id}", headers=bearer
        ),
        Route(name="list of 50 jobs", template="/api/v1/jobs", path="/api/v1/jobs", headers=bearer),
        Route(name="page of projects", template="/", path="/", headers={"Cookie": f"vibe8_session={session.text}"}),
    ]
