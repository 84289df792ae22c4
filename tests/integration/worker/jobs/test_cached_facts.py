"""Cache of facts shared by workers: results are the same with, without and with a damaged cache."""

import asyncio
import random
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from redis.asyncio import Redis

from domain.jobs import JobStatus
from domain.runs import Run
from domain.sources import SMALL_UPLOAD_CHARACTERS
from infrastructure.redis.facts_cache import CACHE_KEYS
from infrastructure.sources.local.packing import pack_directory
from infrastructure.sources.tree.limits import SourceLimits
from tests.fixtures.archives import make_zip
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.jobs import findings_alone, slow_source
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, WorkerProcess, until_finished
from worker.client import Client, Completed

FILES = {
    "a.py": 'import os\n\n\ndef used(x):\n    """Doc."""\n    assert x\n    return os.system(x)  # noqa\n',
    "pkg/__init__.py": "from a import used\n\nused(1)\n",
    "pkg/b.py": "def unused(y):\n    return y if y else None\n",
    "pkg/broken.py": "def (:\n",
}

BALLAST = random.Random(1).randbytes(SMALL_UPLOAD_CHARACTERS)
"""Makes uploads large enough to be cached."""


async def analysed(client: Client, user_id: UUID, files: dict[str, str], name: str = "a.zip") -> Run:
    job = await client.submit_upload(user_id, filename=name, content=make_zip({**files, "ballast": BALLAST}))
    finished = await until_finished(client, user_id, job.job_id)
    assert finished.status is JobStatus.COMPLETED, finished.error_message
    taken = await client.take_result(user_id, job.job_id)
    assert isinstance(taken, Completed)
    return taken.run


def results(run: Run) -> dict[str, Any]:
    """Return all results of a run about the code, without those of its comparison with an earlier run."""
    return {
        "metrics": run.metrics,
        "file_tree": run.file_tree,
        "findings": findings_alone(run.findings),
        "errors": run.errors,
        "completeness": run.completeness,
    }


async def looked_up(worker: WorkerProcess) -> dict[str, float]:
    (started,) = await worker.until("worker.started")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{started['status_port']}") as http:
        lines = (await http.get("/metrics")).text.splitlines()
    prefix = 'vibe8_facts_cache_lookups_total{result="'
    found = [line.removeprefix(prefix).partition('"} ') for line in lines if line.startswith(prefix)]
    return {result: float(value) for result, _, value in found}


async def test_a_small_upload_has_the_same_results_and_is_not_cached(
    system: System, client: Client, user_id: UUID, redis: Redis
) -> None:
    async with system.worker():
        job = await client.submit_upload(user_id, filename="a.zip", content=make_zip(FILES))
        await until_finished(client, user_id, job.job_id)
        small = await client.take_result(user_id, job.job_id)
        assert isinstance(small, Completed)
        assert await redis.hlen(CACHE_KEYS[0]) == 0  # type: ignore[misc]
        assert results(small.run) == results(await analysed(client, user_id, FILES))
        assert await redis.hlen(CACHE_KEYS[0]) > 0  # type: ignore[misc]


async def test_another_worker_uses_cached_facts(system: System, client: Client, user_id: UUID) -> None:
    async with system.worker("first"):
        cold = await analysed(client, user_id, FILES)
    async with system.worker("second", STATUS_PORT="0") as second:
        warm = await analysed(client, user_id, FILES)
        assert results(warm) == results(cold)
        assert (await looked_up(second))["hit"] >= len(FILES)


async def test_a_changed_file_is_analysed_again(system: System, client: Client, user_id: UUID) -> None:
    changed = {**FILES, "pkg/b.py": "import requests\n" + FILES["pkg/b.py"] * 2, "new.py": FILES["a.py"]}
    async with system.worker():
        before = await analysed(client, user_id, FILES)
        warm = await analysed(client, user_id, changed)
    async with system.worker(FACTS_CACHE_MB="0"):
        cold = await analysed(client, user_id, changed)
    assert results(warm) == results(cold) != results(before)


async def test_facts_are_not_shared_with_another_user_or_source(
    system: System, client: Client, user_id: UUID, redis: Redis
) -> None:
    other = await client.get_or_create_user("other@example.org")
    async with system.worker(STATUS_PORT="0") as worker:
        await analysed(client, user_id, FILES)
        await analysed(client, other, FILES)
        await analysed(client, user_id, FILES, name="b.zip")
        assert (await looked_up(worker))["hit"] == 0
    entries = await redis.hlen(CACHE_KEYS[0])  # type: ignore[misc]
    async with system.worker(FACTS_CACHE_MB="0"):
        await analysed(client, user_id, FILES, name="c.zip")
    assert await redis.hlen(CACHE_KEYS[0]) == entries > 0  # type: ignore[misc]


async def test_the_cache_may_be_emptied_during_a_run(
    system: System, client: Client, user_id: UUID, redis: Redis
) -> None:
    slow = {**FILES, "slow.py": slow_source().decode()}
    async with system.worker():
        cold = await analysed(client, user_id, slow)
        await analysed(client, user_id, FILES)  # some of its files are cached
        running = asyncio.create_task(analysed(client, user_id, slow, name="other.zip"))

        async def at_work() -> bool:
            return any(job.status is JobStatus.RUNNING for job in await client.list_jobs(user_id))

        await until(at_work)
        while not running.done():  # at each step of the run
            await redis.flushdb()
            await asyncio.sleep(0.01)
        assert results(await running) == results(cold)
        assert results(await analysed(client, user_id, slow)) == results(cold)


async def test_damaged_entries_are_ignored(system: System, client: Client, user_id: UUID, redis: Redis) -> None:
    async with system.worker():
        cold = await analysed(client, user_id, FILES)
        entries: dict[bytes, bytes] = await redis.hgetall(CACHE_KEYS[0])  # type: ignore[misc]
        assert len(entries) >= len(FILES)
        for damaged in (b"", b"\xc1garbage", b"\x92\x01\x80", b"\x92\x01\x81\xa0\x92\xc0\x01", b"\xdd\xff\xff\xff\xff"):
            for digest in entries:
                await redis.execute_command("HSET", CACHE_KEYS[0], digest, damaged)  # type: ignore[no-untyped-call]
            assert results(await analysed(client, user_id, FILES)) == results(cold)


async def test_cached_history_is_continued_or_discarded(
    system: System, client: Client, user_id: UUID, tmp_path: Path
) -> None:
    work = WorkTree(tmp_path / "work")
    (work.path / "ballast").write_bytes(BALLAST)
    work.commit(a_py="1\n", b_py="2\n")
    work.commit(a_py="changed\n")

    def packed() -> bytes:
        return pack_directory(work.path, with_history=True, limits=SourceLimits())

    async def churn() -> Any:
        job = await client.submit_upload(user_id, filename="work.zip", content=packed())
        finished = await until_finished(client, user_id, job.job_id)
        assert finished.status is JobStatus.COMPLETED, finished.error_message
        taken = await client.take_result(user_id, job.job_id)
        assert isinstance(taken, Completed)
        return taken.run.metrics["churn"]

    assert len(packed()) > SMALL_UPLOAD_CHARACTERS
    async with system.worker():
        assert (await churn())["totalChurn"] == 4
        work.commit(b_py="changed\n")
        assert await churn() == {"total_commits": 3, "totalChurn": 6, "churn_score": 99.4}
        work.git("reset", "-q", "--hard", "HEAD~2")
        assert (await churn())["totalChurn"] == 2
