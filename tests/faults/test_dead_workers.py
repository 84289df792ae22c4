"""A dead worker is noticed at once, and no worker that lives is taken for a dead one."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
import pytest
from redis.asyncio import Redis

from infrastructure.database.server.session_lock import APPLICATION_NAME, is_held, lock_key
from infrastructure.redis.worker_registry import REPORTS_KEY, Report, WorkerRegistry
from tests.faults.support.transition_audit import audited, record_kill
from tests.fixtures.database import Rows
from tests.fixtures.jobs import slow_source
from tests.fixtures.network.tcp_proxy import Proxies, TcpProxy, tcp_proxy
from tests.fixtures.processes import job_processes
from tests.fixtures.servers import Servers, running_servers
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, WorkerProcess, new_system
from worker.client import Client

RESCUE_SECONDS = 8
COMPLETION_SECONDS = 180

LIVING = ("cut", "partitioned", "stopped")
"""What happens to the workers that live."""

TERMINATE_LOCK = f"""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = '{APPLICATION_NAME}' AND pid IN (
        SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND (classid::bigint << 32 | objid::bigint) = $1)
"""  # noqa: S608 - no input in it


@dataclass
class Holder:
    """A worker, its proxies to the servers, and its job if it has one, whose processes are stopped until `release`."""

    worker: WorkerProcess
    proxies: Proxies
    worker_id: str
    job_id: str = ""
    stopped: list[psutil.Process] = field(default_factory=list)

    async def hold(self) -> None:
        """Stop the processes of the worker's job, once it is collected."""
        for _ in range(2):  # a process may start another one meanwhile
            for process in await until(self._collecting):
                with suppress(psutil.NoSuchProcess):  # a tool that has just ended
                    process.suspend()
                    self.stopped.append(process)

    def _collecting(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):  # one has just ended
            processes = job_processes(self.worker.process.pid)
            return processes if len(processes) >= 2 else []
        return []

    def release(self) -> None:
        for process in self.stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()


@dataclass
class Fleet:
    """Workers that run one job each."""

    system: System
    client: Client
    stack: AsyncExitStack

    @property
    def rows(self) -> Rows:
        return Rows(self.system)

    async def start(self, *names: str, idle: int = 1) -> tuple[dict[str, Holder], list[Holder]]:
        """Start workers: one with a job for each of the names, and others without."""
        workers = {worker.worker_id: worker for worker in [await self._start() for _ in range(len(names) + idle)]}
        jobs = [await self.submit(name) for name in names]
        holders = {}
        for name, job_id in zip(names, jobs, strict=True):
            holder = workers.pop(await until(lambda job_id=job_id: self._claimer(job_id)))  # type: ignore[misc]
            holder.job_id = job_id
            holders[name] = holder
        await asyncio.gather(*(holder.hold() for holder in holders.values()))
        return holders, list(workers.values())

    async def _start(self) -> Holder:
        """Start a worker, and wait until it reports that it lives."""
        database, redis = (urlsplit(self.system.environment[name]) for name in ("DATABASE_URL", "REDIS_URL"))
        directory = parse_qs(database.query)["host"][0]
        proxies = Proxies(
            postgresql=await self.stack.enter_async_context(tcp_proxy(f"{directory}/.s.PGSQL.5432")),
            redis=await self.stack.enter_async_context(tcp_proxy((str(redis.hostname), int(redis.port or 0)))),
        )
        system = self.system.with_settings(
            ARQ_MAX_JOBS="1",
            DATABASE_URL=f"postgresql://postgres@127.0.0.1:{proxies.postgresql.port}{database.path}",
            REDIS_URL=f"redis://:{redis.password}@127.0.0.1:{proxies.redis.port}{redis.path}",
        )
        worker = await self.stack.enter_async_context(system.worker(f"w{proxies.redis.port}"))
        worker_id = await until(lambda: self._id_of(worker))
        await self.until_reported([worker_id])
        return Holder(worker, proxies, worker_id)

    async def _id_of(self, worker: WorkerProcess) -> str | None:
        async with self.redis() as redis:
            ids = {entry.pid: entry.replica_id for entry in await WorkerRegistry(redis).workers()}
        return ids.get(worker.process.pid)

    async def submit(self, name: str) -> str:
        user_id = await self.client.get_or_create_user(f"{name}@example.org")
        return (await self.client.submit_upload(user_id, filename="slow.py", content=slow_source(6000))).job_id

    async def _claimer(self, job_id: str) -> str | None:
        row = await self.rows.job(job_id)
        return str(row["worker_id"]) if row["status"] == "running" else None

    def redis(self) -> Redis:
        client: Redis = Redis.from_url(self.system.environment["REDIS_URL"])
        return client

    async def until_reported(self, worker_ids: Collection[str]) -> None:
        """Wait until these workers have reported since Redis was last emptied."""

        async def reported() -> bool:
            return set(worker_ids) <= await self.reporting()

        await until(reported)

    async def reporting(self) -> set[str]:
        """Return the workers that have reported, and have not withdrawn that."""
        async with self.redis() as redis:
            return {Report.from_text(value).replica_id for value in await redis.zrange(REPORTS_KEY, 0, -1)}

    async def cut_lock(self, holder: Holder) -> None:
        """Terminate the session that holds the worker's lock, and wait until another one does."""
        assert await self.rows.all(TERMINATE_LOCK, lock_key(holder.worker_id))
        await self.until_locked(holder)

    async def until_locked(self, holder: Holder) -> None:
        async def held() -> bool:
            (row,) = await self.rows.all(f"SELECT {is_held('$1::bigint')} AS held", lock_key(holder.worker_id))
            return bool(row["held"])

        await until(held)

    async def kill(self, holder: Holder) -> None:
        await record_kill(self.system.environment["DATABASE_URL"], holder.worker_id)
        holder.worker.process.kill()
        await asyncio.to_thread(holder.worker.process.wait)

    async def until_state(self, holder: Holder, status: str, attempt: int, seconds: float = 60.0) -> None:
        async def reached() -> bool:
            return (await self.attempt(holder))[:2] == (status, attempt)

        await until(reached, seconds)

    async def until_completed(self, holders: Iterable[Holder], attempt: int) -> None:
        for holder in holders:
            await self.until_state(holder, "completed", attempt, COMPLETION_SECONDS)

    async def attempt(self, holder: Holder) -> tuple[str, int, list[str]]:
        """Return the job's status, its attempt, and the kinds of the failed ones."""
        row = await self.rows.job(holder.job_id)
        return row["status"], row["attempt"], [error["kind"] for error in json.loads(row["attempt_errors"])]

    async def attempts(self, holders: Mapping[str, Holder]) -> dict[str, tuple[str, int, list[str]]]:
        return {name: await self.attempt(holder) for name, holder in holders.items()}


@asynccontextmanager
async def opened_fleet(system: System) -> AsyncIterator[Fleet]:
    async with Client.open(system.settings) as client, AsyncExitStack() as stack:
        yield Fleet(system, client, stack)


@pytest.fixture
async def fleet(system: System) -> AsyncIterator[Fleet]:
    async with opened_fleet(system) as fleet:
        yield fleet


@pytest.mark.fault("SIGKILL beside an idle worker")
async def test_the_job_of_a_killed_worker_runs_again_within_8_seconds(fleet: Fleet) -> None:
    holders, (other,) = await fleet.start("killed")
    killed = holders["killed"]
    await fleet.kill(killed)
    await fleet.until_state(killed, "running", 2, RESCUE_SECONDS)
    (rescued,) = await other.worker.until("job.rescued")
    assert (rescued["worker"], rescued["reason"]) == (killed.worker_id, "the worker is dead")
    await fleet.until_completed([killed], 2)
    assert (await fleet.attempt(killed))[2] == ["worker lost"]
    assert await fleet.rows.runs() == [killed.job_id]


@pytest.mark.fault("SIGKILL at the first claim of a worker that has just started")
async def test_a_worker_that_dies_at_its_first_claim_is_noticed(fleet: Fleet) -> None:
    holders, _ = await fleet.start("observer", idle=0)  # its one slot is taken
    job_id = await fleet.submit("waiting")
    async with fleet.system.worker("killed", VIBE8_FAILPOINTS="claimed") as killed:
        assert await asyncio.to_thread(killed.process.wait, 60) == -signal.SIGKILL

        async def rescued() -> bool:
            row = await fleet.rows.job(job_id)
            return (row["status"], row["attempt"]) == ("pending", 1)

        await until(rescued, RESCUE_SECONDS)
    holders["observer"].job_id = job_id
    holders["observer"].release()
    await fleet.until_completed(holders.values(), 2)


@pytest.mark.slow
@pytest.mark.fault("SIGSTOP, partition, FLUSHDB, cut connections to each server, beside a SIGKILL")
async def test_living_workers_keep_their_jobs_while_a_killed_one_loses_its_own(fleet: Fleet) -> None:
    """That the killed worker is noticed shows that the observer could have judged the others meanwhile."""
    holders, (observer,) = await fleet.start(*LIVING, "killed")
    killed = holders.pop("killed")
    await break_connections(fleet, holders, killed)
    await fleet.kill(killed)
    await fleet.until_state(killed, "running", 2)
    rescues = await observer.worker.until("job.rescued")
    assert [(entry["worker"], entry["reason"]) for entry in rescues] == [(killed.worker_id, "the worker is dead")]
    assert await fleet.attempts(holders) == dict.fromkeys(holders, ("running", 1, []))
    await mend_connections(holders)
    for holder in holders.values():
        holder.release()
    await fleet.until_completed(holders.values(), 1)
    assert await fleet.attempts(holders) == dict.fromkeys(holders, ("completed", 1, []))
    await fleet.until_completed([killed], 2)


async def break_connections(fleet: Fleet, holders: Mapping[str, Holder], killed: Holder) -> None:
    """Do to each worker what its name says; the connections of one are cut twice, and Redis is emptied meanwhile."""
    cut = holders["cut"]
    async with fleet.redis() as redis:
        await redis.flushdb()
    await fleet.cut_lock(cut)
    await fleet.until_reported([holder.worker_id for holder in (*holders.values(), killed)])
    await cut.proxies.redis.disconnect()
    await fleet.cut_lock(cut)
    for proxy in holders["partitioned"].proxies:
        proxy.stall()
    holders["stopped"].worker.process.send_signal(signal.SIGSTOP)


async def mend_connections(holders: Mapping[str, Holder]) -> None:
    holders["stopped"].worker.process.send_signal(signal.SIGCONT)
    for proxy in holders["partitioned"].proxies:
        proxy.resume()
    await holders["cut"].proxies.redis.connect()


@pytest.mark.fault("a worker's connections to both servers refused")
async def test_a_worker_refused_by_both_servers_loses_its_job_and_writes_nothing(fleet: Fleet) -> None:
    """Both servers see its connections end and no new ones: that is what they see of a killed worker, too."""
    holders, _ = await fleet.start("refused")
    refused = holders["refused"]
    for proxy in refused.proxies:
        await proxy.disconnect()
    await fleet.until_state(refused, "running", 2)
    for proxy in refused.proxies:
        await proxy.connect()
    await refused.worker.until("job.lease_lost")
    await fleet.until_completed([refused], 2)
    assert await fleet.rows.runs() == [refused.job_id]


@pytest.mark.slow
@pytest.mark.fault("SIGTERM of a worker that requeues its job, beside a SIGKILL")
async def test_a_worker_that_ends_by_itself_costs_no_attempt(fleet: Fleet) -> None:
    holders, observers = await fleet.start("ended", "killed", idle=2)
    ended, killed = holders["ended"], holders["killed"]
    ended.worker.process.send_signal(signal.SIGTERM)
    await ended.worker.until("worker.draining")
    assert await ended.worker.stop() == 0
    await fleet.kill(killed)
    await fleet.until_completed(holders.values(), 2)
    assert await fleet.attempts(holders) == {"ended": ("completed", 2, []), "killed": ("completed", 2, ["worker lost"])}
    rescues = [entry for each in observers for entry in each.worker.log() if entry["event"] == "job.rescued"]
    assert [entry["worker"] for entry in rescues] == [killed.worker_id]
    assert ended.worker_id not in await fleet.reporting()


@pytest.fixture
def own_servers() -> Iterator[Servers]:
    """Servers that only this test uses, so that it may stop them."""
    with running_servers() as running:
        yield running


async def test_living_workers_keep_their_jobs_when_servers_start_again(
    own_servers: Servers, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    database_url = own_servers.postgres.url(own_servers.new_database())
    address = urlsplit(own_servers.new_redis_url())
    async with tcp_proxy(_target(own_servers)) as proxy, AsyncExitStack() as stack:
        await stack.enter_async_context(
            audited(database_url, "PostgreSQL, Redis and both start again", record_property)
        )
        redis_url = f"redis://:{address.password}@127.0.0.1:{proxy.port}{address.path}"
        fleet = await stack.enter_async_context(opened_fleet(new_system(database_url, redis_url, tmp_path)))
        holders, _ = await fleet.start("one", "two", idle=0)
        await restart_servers(own_servers, fleet, proxy, holders)
        assert await fleet.attempts(holders) == dict.fromkeys(holders, ("running", 1, []))
        for holder in holders.values():
            holder.release()
        await fleet.until_completed(holders.values(), 1)


def _target(servers: Servers) -> tuple[str, int]:
    address = urlsplit(servers.valkey.url())
    return str(address.hostname), int(address.port or 0)


async def restart_servers(servers: Servers, fleet: Fleet, redis_proxy: TcpProxy, holders: Mapping[str, Holder]) -> None:
    for postgresql, redis in (("stop", False), ("crash", False), ("", True), ("stop", True)):
        if redis:
            servers.valkey.stop()
        if postgresql == "stop":
            servers.postgres.stop()
            servers.postgres.start()
        if postgresql == "crash":
            await crash_sessions(fleet.rows)
        if redis:
            servers.valkey.start()
            redis_proxy.retarget(_target(servers))
        for holder in holders.values():
            await fleet.until_locked(holder)
        await fleet.until_reported([holder.worker_id for holder in holders.values()])


async def crash_sessions(rows: Rows) -> None:
    """Kill a process of PostgreSQL: it then ends all sessions, without starting again itself."""
    (row,) = await rows.all("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
    os.kill(row["pid"], signal.SIGKILL)

    async def recovered() -> bool:
        try:
            (again,) = await rows.all("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError):
            return False
        return bool(again["pid"] != row["pid"])

    await until(recovered)
