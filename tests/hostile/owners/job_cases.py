"""Jobs and runs."""

import uuid
from typing import Any
from uuid import UUID

from tests.hostile.owners.world import Subject, World
from worker.client import Client, ExportFormat, UploadSubmission

STATES = ("pending", "running", "completed", "failed", "cancelled")


async def job_in_state(world: World, owner: UUID, state: str) -> str:
    job_id = await world.submit(owner)
    if state == "running":
        await world.claim(job_id)
    elif state == "completed":
        await world.complete(job_id)
    elif state == "failed":
        await world.fail(job_id)
    elif state == "cancelled":
        await world.client.cancel_job(owner, job_id)
    return job_id


async def make_run(world: World, owner: UUID) -> UUID:
    return await world.complete(await world.submit(owner))


async def first_of_watch(client: Client, user_id: UUID, job_id: str) -> Any:
    watching = client.watch(user_id, job_id)
    try:
        return await anext(aiter(watching))
    finally:
        await watching.aclose()  # type: ignore[attr-defined]


async def submit_many_of_one(client: Client, user_id: UUID, key: str | None) -> Any:
    (job,) = await client.submit_many(
        user_id, [UploadSubmission(filename="a.py", content=b"x = 1\n", idempotency_key=key)]
    )
    return job


JOBS = Subject(
    make=lambda world, owner: job_in_state(world, owner, "pending"),
    unknown=lambda: uuid.uuid4().hex,
    calls={
        "get_job": lambda client, user, job: client.get_job(user, job),
        "watch": first_of_watch,
        "list_webhook_deliveries": lambda client, user, job: client.list_webhook_deliveries(user, job),
        "get_result": lambda client, user, job: client.get_result(user, job),
        "take_result": lambda client, user, job: client.take_result(user, job),
        "cancel_job": lambda client, user, job: client.cancel_job(user, job),
        "retry_job": lambda client, user, job: client.retry_job(user, job),
    },
    own={
        "list_jobs": lambda client, user, _: client.list_jobs(user),
        "submit_upload": lambda client, user, key: client.submit_upload(
            user, filename="a.py", content=b"x = 1\n", idempotency_key=key
        ),
        "submit_repository": lambda client, user, key: client.submit_repository(
            user, url="https://github.com/owner/repo", token="a token", idempotency_key=key
        ),
        "submit_many": submit_many_of_one,
    },
    query="SELECT t::text FROM jobs AS t WHERE user_id = :id ORDER BY job_id",
)
RUNS = Subject(
    make=make_run,
    unknown=uuid.uuid4,
    calls={
        "get_run_summary": lambda client, user, run: client.get_run_summary(user, run),
        "get_run": lambda client, user, run: client.get_run(user, run),
        "export_run": lambda client, user, run: client.export_run(user, run, ExportFormat.SARIF),
        "get_file_tree": lambda client, user, run: client.get_file_tree(user, run),
        "get_history": lambda client, user, run: client.get_history(user, run),
        "list_insights": lambda client, user, run: client.list_insights(user, run),
        "list_findings": lambda client, user, run: client.list_findings(user, run),
        "compare_runs": lambda client, user, run: client.compare_runs(user, run, run),
        "trend": lambda client, user, run: client.trend(user, str(run)),
        "pin_baseline": lambda client, user, run: client.pin_baseline(user, run),
        "tags.set": lambda client, user, run: client.tags.set(user, run, {"domain": ["web"]}),
        "tags.add": lambda client, user, run: client.tags.add(user, run, {"kind": ["service"]}),
        "tags.remove": lambda client, user, run: client.tags.remove(user, run, {"domain": ["web"]}),
        "reports.create": lambda client, user, run: client.reports.create(user, run, max_views=5),
        "delete_run": lambda client, user, run: client.delete_run(user, run),
    },
    own={"list_runs": lambda client, user, _: client.list_runs(user)},
    query="SELECT t::text FROM analysis_runs AS t WHERE user_id = :id ORDER BY run_id",
)
