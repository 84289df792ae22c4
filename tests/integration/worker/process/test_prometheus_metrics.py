"""All metrics of a worker after a completed job, a failed one, and a rescue."""

from uuid import UUID

import asyncpg
import httpx
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from collectors.engine.collector_names import collector_names
from collectors.engine.discovery import discover
from infrastructure.observability import prometheus_metrics
from infrastructure.observability.prometheus_metrics import OUTCOMES
from tests.fixtures.jobs import PYTHON_FILE
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, until_finished
from worker.analysis.core_pool import usable_cores
from worker.client import Client
from worker.process.bootstrap import PREFETCH

Samples = dict[tuple[str, tuple[str, ...]], float]


async def samples(http: httpx.AsyncClient) -> Samples:
    """Map each name and its label values, in the order of the label names, to the value."""
    families = text_string_to_metric_families((await http.get("/metrics")).text)
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def metric_names() -> set[str]:
    metrics = [value for value in vars(prometheus_metrics).values() if isinstance(value, MetricWrapperBase)]
    names = set()
    for metric in metrics:
        (family,) = metric.describe()
        names.add(
            {"counter": f"{family.name}_total", "histogram": f"{family.name}_count"}.get(family.type, family.name)
        )
    return names


async def test_all_metrics_have_values_after_two_jobs_and_a_rescue(
    system: System, client: Client, user_id: UUID
) -> None:
    lost = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    connection = await asyncpg.connect(system.environment["DATABASE_URL"])
    await connection.execute(
        "UPDATE jobs SET status = 'running', attempt = 1, created_at = now() - interval '1 hour',"
        " lease_expires_at = now() - interval '1 second'"
    )
    await connection.close()
    async with system.worker(STATUS_PORT="0", DB_POOL_SIZE="2", DB_MAX_OVERFLOW="3") as worker:
        (started,) = await worker.until("worker.started")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{started['status_port']}") as http:
            bad = await client.submit_upload(user_id, filename="a.zip", content=b"x")
            for job in (lost, bad):
                await until_finished(client, user_id, job.job_id)

            async def queue_counted() -> bool:  # maintenance does it every ten seconds
                return (await samples(http))[("vibe8_jobs", ("completed",))] == 1

            await until(queue_counted)
            found = await samples(http)
    assert metric_names() <= {name for name, _ in found}
    check_queue(found)
    check_attempts(found)
    check_durations(found)
    check_resources(found)


def check_queue(found: Samples) -> None:
    depth = {status: found[("vibe8_jobs", (status,))] for status in ("pending", "running", "completed", "failed")}
    assert depth == {"pending": 0, "running": 0, "completed": 1, "failed": 1}
    assert 3600 <= found[("vibe8_oldest_job_age_seconds", ("completed",))] < 4000
    assert found[("vibe8_oldest_job_age_seconds", ("pending",))] == 0
    assert found[("vibe8_ready", ())] == 1
    assert (found[("vibe8_slots", ("busy",))], found[("vibe8_slots", ("free",))]) == (0, usable_cores() + PREFETCH)


def check_attempts(found: Samples) -> None:
    assert found[("vibe8_claims_total", ("claimed",))] == 2
    assert found[("vibe8_rescues_total", ("pending",))] == 1
    assert found[("vibe8_rescues_total", ("failed",))] == 0
    assert found[("vibe8_leases_lost_total", ())] == 0
    assert found[("vibe8_heartbeats_total", ("unreachable",))] == 0
    ended = {key: value for (name, key), value in found.items() if name == "vibe8_attempts_finished_total"}
    assert {key: value for key, value in ended.items() if value} == {
        ("", "completed"): 1,
        ("InvalidInputError", "failed"): 1,
    }
    # All are there from the start: `rate` sees no increase in a series that first appears as 1.
    assert set(ended) == {(kind, outcome) for outcome, kinds in OUTCOMES.items() for kind in kinds}


def check_durations(found: Samples) -> None:
    stages = {"fetching", "core_wait", "collecting", "summarizing", "looking_up", "finishing"}
    assert {key[0] for name, key in found if name == "vibe8_stage_duration_seconds_count"} == stages
    collectors = {key[0] for name, key in found if name == "vibe8_collector_cpu_seconds_count"}
    assert collectors == {collector.metric.name for collector in discover()} == set(collector_names())
    assert all(found[("vibe8_collector_cpu_seconds_count", (name,))] == 1 for name in collectors)
    assert found[("vibe8_job_duration_seconds_count", ())] == 1
    assert found[("vibe8_job_wait_seconds_count", ())] == 2
    total = sum(found[("vibe8_stage_duration_seconds_sum", (stage,))] for stage in stages)
    assert 0 < total <= found[("vibe8_job_duration_seconds_sum", ())] + 0.1


def check_resources(found: Samples) -> None:
    assert found[("vibe8_fetched_bytes_total", ("upload",))] == len(PYTHON_FILE)
    assert found[("vibe8_fetched_bytes_total", ("repository",))] == 0
    assert (found[("vibe8_child_processes", ("fetch",))], found[("vibe8_child_processes", ("collect",))]) == (0, 0)
    used, idle, limit = (found[("vibe8_database_connections", (state,))] for state in ("used", "idle", "limit"))
    assert limit == 5
    assert 1 <= used + idle <= limit
    assert found[("vibe8_scratch_free_bytes", ())] > 0
