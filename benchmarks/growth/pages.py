"""Buffers of every statement of `/ops`, its pages and its part of the API, and the time of each request."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.requests import Request

from benchmarks.growth.buffers import Buffers
from benchmarks.growth.statements import DAY_SECONDS, fill
from domain.audit import Actor
from domain.jobs import JobStatus
from domain.keys import Permission
from infrastructure.database.queries.all_deliveries import AllDeliveries
from infrastructure.database.repositories.claims import ClaimRepository
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.maintenance import MaintenanceRepository
from infrastructure.database.repositories.statistics import StatisticsRepository
from infrastructure.settings import load_settings
from worker.client.operator import OperatorClient
from worker.http import Identity, create_app

API = "/api/v1/ops"
OPERATOR = Actor(operator=True)
CLAIMED = 60

# As many as ended jobs. A third of the deliveries each waits, was given up, and has arrived.
DELIVERIES = """
    INSERT INTO notices (
        notice_id, job_id, user_id, url, status, finished_at, attempt, due_at, delivered_at, given_up_at, last_error)
    SELECT md5('n' || number)::uuid, job_id, user_id, 'https://hooks.example.org/a', 'completed', created_at, 3,
        now() + make_interval(secs => number), CASE number % 3 WHEN 1 THEN created_at END,
        CASE number % 3 WHEN 2 THEN created_at END, 'HTTP 500'
    FROM (SELECT row_number() OVER () AS number, job_id, user_id, created_at FROM analysis_runs) AS ended
"""
REPOSITORIES = """
    INSERT INTO repositories (
        id, owner_id, name, full_name, url, clone_url, schedule, next_check_at, check_requested_at)
    SELECT md5('r' || number)::uuid, user_id, 'r', 'o/r', 'https://a.example/o/r' || number, 'https://a.example/o/r',
        'daily', now() + make_interval(secs => number),
        CASE WHEN number % 5 = 0 THEN now() + make_interval(secs => number) END
    FROM (SELECT row_number() OVER () AS number, user_id FROM analysis_runs) AS ended
"""
ENTRIES = """
    INSERT INTO audit_logs (user_id, action, resource_type, resource_id, created_at)
    SELECT user_id, CASE WHEN hashtext(job_id) % 10000 = 0 THEN 'pause' ELSE 'submit' END, 'job', job_id,
        date_trunc('month', now()) + (now() - date_trunc('month', now())) * random()
    FROM analysis_runs
"""
TABLES = "jobs, users, analysis_runs, notices, repositories, audit_logs"

Cost = tuple[int, float, float]
"""Buffers and milliseconds of the statements, and milliseconds of the whole request."""


@dataclass(frozen=True, slots=True)
class _Named:
    """A user who has many jobs, a job that has failed, and a delivery."""

    user: str
    job_id: str
    delivery_id: UUID


async def fill_all(engine: AsyncEngine, size: int) -> _Named:
    """Replace all rows: those of `fill`, with deliveries, tracked repositories and entries of the audit log."""
    await fill(engine, size)
    async with engine.begin() as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        await connection.execute(text("TRUNCATE audit_logs"))
        for statement in (DELIVERIES, REPOSITORIES, ENTRIES):
            await connection.execute(text(statement))
        await ClaimRepository(connection).claim(CLAIMED, worker_id="bench", lease_seconds=DAY_SECONDS)
        await StatisticsRepository(connection).count_if_due(0)
    async with engine.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(text(f"VACUUM (ANALYZE) {TABLES}"))
        user = await connection.scalar(text("SELECT email FROM users ORDER BY email LIMIT 1"))
        job_id = await connection.scalar(text("SELECT job_id FROM jobs WHERE status = 'failed' LIMIT 1"))
        delivery_id = await connection.scalar(text("SELECT notice_id FROM notices LIMIT 1"))
    return _Named(user, job_id, delivery_id)


def paths(named: _Named) -> Mapping[str, str]:
    """Return what is read, as a path with its query, by the path with names in place of what they are."""
    pages = [f"/ops?state={state}" for state in ("running", "pending", "failed", "completed", "all")]
    pages += [f"/ops?find={found}" for found in ("USER", "PREFIX", "JOB")]
    pages += ["/ops/checks", *(f"/ops/webhooks?state={state}" for state in ("given up", "waiting", "ended"))]
    lists = ["/jobs", "/jobs?user=USER", "/jobs?job=PREFIX", "/jobs?since_seconds=60"]
    lists += [f"/jobs?user=USER&status={status}" for status in JobStatus]
    lists += ["/checks", "/webhooks", "/webhooks?state=waiting", "/webhooks?state=given up", "/audit"]
    lists += ["/audit?user=USER", "/audit?action=pause", "/queue", "/ends", "/workers", "/jobs/JOB"]
    names = {"USER": named.user, "PREFIX": named.job_id[:4], "JOB": named.job_id}
    found = [*pages, *(f"{API}{each}" for each in lists)]
    return {path: re.sub("|".join(names), lambda word: names[word[0]], path) for path in found}


def acts(named: _Named) -> Mapping[str, Callable[[AsyncConnection], Awaitable[Any]]]:
    """Return what is changed, by name."""
    return {
        "cancel": lambda work: JobRepository(work).cancel_all([named.job_id], OPERATOR),
        "retry": lambda work: JobRepository(work).retry_all([named.job_id], limit=None, actor=OPERATOR),
        "resend": lambda work: AllDeliveries(work).resend(named.delivery_id, OPERATOR),
        "pause": lambda work: MaintenanceRepository(work).set_paused(paused=True),
        "resume": lambda work: MaintenanceRepository(work).set_paused(paused=False),
    }


async def costs(engine: AsyncEngine, size: int) -> Mapping[str, Cost]:
    """Return the costs of every path and its second page, and of every act, at so many pending and ended jobs."""
    named = await fill_all(engine, size)
    found: dict[str, Cost] = {}
    async with OperatorClient.open(load_settings()) as operator:
        buffers = Buffers(operator._database._engine)  # noqa: SLF001 - the program's own connections are measured

        async def identify(request: Request) -> Identity:  # noqa: ARG001 - the protocol names it
            """Let everybody be an operator."""
            return Identity(user_id=UUID(int=1), permissions=frozenset(Permission))

        app = create_app(operator.user_client, identify=identify, operator=operator)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=120) as http:
            for name, path in paths(named).items():
                answer, found[name] = await _request(buffers, http, path)
                if path.startswith(API) and (following := answer.json().get("next")):
                    second = f"{path}{'&' if '?' in path else '?'}cursor={following}"
                    _, found[f"{name}, page 2"] = await _request(buffers, http, second)
        for name, act in acts(named).items():
            count, milliseconds = await buffers.measure(act)
            found[name] = count, milliseconds, milliseconds
    return found


async def _request(buffers: Buffers, http: httpx.AsyncClient, path: str) -> tuple[httpx.Response, Cost]:
    with buffers.recording() as statements:
        answer = await http.get(path)
        await asyncio.sleep(0)  # the driver logs a statement after it
    answer.raise_for_status()
    explained = min([await buffers.explain(statements) for _ in range(3)])
    started = time.perf_counter()
    await http.get(path)
    return answer, (*explained, 1_000 * (time.perf_counter() - started))


async def measure_pages(engine: AsyncEngine, sizes: Sequence[int]) -> None:
    """Print one row a path: the buffers at each size, and the times at the largest."""
    measured = [await costs(engine, size) for size in sizes]
    print("| path | " + " | ".join(f"{size:,}" for size in sizes) + " | ms of statements | ms of the request |")
    print("|---|" + "---|" * (len(sizes) + 2))
    for path, (_, statements, request) in measured[-1].items():
        cells = " | ".join(f"{each[path][0]:,}" if path in each else "-" for each in measured)
        print(f"| {path} | {cells} | {statements:.1f} | {request:.0f} |", flush=True)
