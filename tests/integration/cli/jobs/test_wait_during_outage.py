"""`submit --wait` during an outage: the job continues, and its result is shown when the servers are back."""

import asyncio
import subprocess
import uuid
from collections.abc import AsyncIterator
from typing import Any, Self, cast
from uuid import UUID

import pytest

from domain.errors import ServiceUnavailableError
from domain.jobs import Job, JobStatus
from tests.fixtures.network.tcp_proxy import Proxies
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import COMMAND, TIMEOUT_SECONDS, System, until_finished
from tests.integration.cli.command_support import METRIC_NAMES
from worker.cli.commands.jobs import submit
from worker.cli.output.writer import OutputWriter
from worker.client import Client
from worker.client.operator import OperatorClient


async def test_wait_survives_an_outage_of_both_servers(
    proxied_system: System, system: System, proxies: Proxies, client: Client
) -> None:
    (proxied_system.directory / "code.py").write_text("import os\n")
    user_id = await client.get_or_create_user("local@localhost")
    process = subprocess.Popen(
        [*COMMAND, "submit", "code.py", "--wait"],
        env=proxied_system.process_environment(),
        cwd=proxied_system.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        (job,) = await until(lambda: client.list_jobs(user_id))
        for each in proxies:
            await each.disconnect()
        async with system.worker():
            assert (await until_finished(client, user_id, job.job_id)).status is JobStatus.COMPLETED
        for each in proxies:
            await each.connect()
        out, error = await asyncio.to_thread(process.communicate, timeout=TIMEOUT_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, error
    assert {line.split()[0] for line in out.splitlines() if line} >= METRIC_NAMES
    assert "Traceback" not in error


class UnavailableClient:
    """A client whose database stays unreachable, for operators and users."""

    @property
    def user_client(self) -> Self:
        return self

    async def is_paused(self) -> bool:
        raise ServiceUnavailableError("PostgreSQL cannot be reached")

    async def watch(self, user_id: UUID, job_id: str) -> AsyncIterator[Job]:
        raise ServiceUnavailableError("PostgreSQL cannot be reached")
        yield cast("Any", None)


async def test_long_outage_ends_the_wait_with_the_next_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "OUTAGE_SECONDS", 0.0)
    monkeypatch.setattr(submit, "RETRY_SECONDS", 0.001)
    hint = "`vibe8 job 1` shows it"
    with pytest.raises(ServiceUnavailableError, match="PostgreSQL cannot be reached; the job may go on: `vibe8 job 1`"):
        await submit._watch(
            cast("OperatorClient", UnavailableClient()), uuid.uuid4(), "1", OutputWriter(as_json=True), hint
        )
