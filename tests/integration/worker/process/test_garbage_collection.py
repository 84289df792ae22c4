"""Garbage collection in a running worker."""

import asyncio
import gc
from uuid import UUID

import pytest

from tests.fixtures.jobs import PYTHON_FILE
from tests.fixtures.worker_process import System, until_finished
from worker.client import Client
from worker.process.worker_process import WorkerProcess

# ARQ calls a method of redis-py that is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")


async def test_full_collections_of_a_worker_do_not_visit_its_modules(
    system: System, client: Client, user_id: UUID
) -> None:
    gc.unfreeze()
    everything = len(gc.get_objects())
    process = WorkerProcess(system.settings)
    running = asyncio.create_task(process.run())
    try:
        job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
        await until_finished(client, user_id, job.job_id)
        assert len(gc.get_objects()) < everything / 2
    finally:
        process.drain()
        await running
        gc.unfreeze()
