"""Hundreds of event streams of one process: it stays up, answers others, and asks PostgreSQL no more than for one."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.fixtures.database import Rows
from tests.fixtures.network.event_streams import EVENT, jobs_of_many, open_stream
from tests.fixtures.network.http_service import RunningService, running_service
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System
from worker.client import Client

USERS, STREAMS_OF_A_USER = 30, 10
MANY = USERS * STREAMS_OF_A_USER
AT_A_TIME = 10
OBSERVED_SECONDS = 5.0

pytestmark = pytest.mark.settings(HTTP_MAX_STREAMS=str(MANY), STATUS_PORT="0")


@pytest.fixture
async def serving(system: System) -> AsyncIterator[tuple[RunningService, httpx.AsyncClient]]:
    """The service, and a client of its metrics."""
    async with running_service(system) as service:
        port = (await service.process.until("http.started"))[-1]["status_port"]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as probes:
            yield service, probes


async def open_streams(probes: httpx.AsyncClient) -> int:
    text = (await probes.get("/metrics")).text
    (line,) = [each for each in text.splitlines() if each.startswith("vibe8_http_event_streams ")]
    return int(float(line.split()[1]))


async def are_few(rows: Rows) -> bool:
    """Return whether the service makes few transactions: its reads of jobs, and two a second for its health."""
    query = "SELECT xact_commit + xact_rollback AS done FROM pg_stat_database WHERE datname = current_database()"
    before = (await rows.all(query))[0]["done"]
    await asyncio.sleep(OBSERVED_SECONDS)
    return bool((await rows.all(query))[0]["done"] - before < 5 * OBSERVED_SECONDS)


async def test_hundreds_of_streams_cost_no_more_statements_than_a_few(
    serving: tuple[RunningService, httpx.AsyncClient], client: Client, system: System
) -> None:
    service, probes = serving
    made = await jobs_of_many(client, USERS, 2)
    places = [(jobs[number % 2], key) for _, key, jobs in made for number in range(STREAMS_OF_A_USER)]
    streams = []
    for start in range(0, MANY, AT_A_TIME):
        opening = (open_stream(service.address, *place) for place in places[start : start + AT_A_TIME])
        streams += await asyncio.gather(*opening)
    assert {stream.status for stream in streams} == {200}
    assert await open_streams(probes) == MANY
    rows = Rows(system)
    await until(lambda: are_few(rows))  # idle connections tell of earlier transactions within ten seconds

    async with service.client(made[0][1]) as http, asyncio.timeout(20):
        assert (await http.get("/api/v1/jobs")).status_code == 200
        own = await http.get(f"/api/v1/jobs/{made[0][2][0]}/events")
        assert (own.status_code, own.json()["code"]) == (429, "too_many_streams")
        assert own.headers["retry-after"] == "10"

    await rows.all("UPDATE jobs SET status = 'failed', finished_at = now(), error_message = 'ended'")
    async with asyncio.timeout(60):
        ended = await asyncio.gather(*(stream.rest() for stream in streams))
    assert {body.count(EVENT) for body in ended} == {2}
    assert all(b'"status":"failed"' in body for body in ended)
    await until(lambda: _is_empty(probes))
    assert service.process.process.poll() is None
    assert not [entry for entry in service.process.log() if entry["level"] == "error"]


async def _is_empty(probes: httpx.AsyncClient) -> bool:
    return await open_streams(probes) == 0


async def test_streams_that_are_cut_off_leave_nothing_behind(
    serving: tuple[RunningService, httpx.AsyncClient], client: Client
) -> None:
    service, probes = serving
    ((_, key, jobs),) = await jobs_of_many(client, 1, 2)
    streams = [await open_stream(service.address, jobs[number % 2], key) for number in range(10)]
    for stream in streams:
        await stream.until(EVENT)
        stream.writer.transport.abort()
    await until(lambda: _is_empty(probes))
    again = await open_stream(service.address, jobs[0], key)
    await again.until(EVENT)
    again.close()
    assert not [entry for entry in service.process.log() if entry["level"] == "error"]
