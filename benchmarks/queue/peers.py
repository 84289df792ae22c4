"""Other queues on the same servers. Each runs in an environment of its own, made from requirements-bench.lock."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from arq.connections import RedisSettings, create_pool

from benchmarks.queue_workers import ARQ_QUEUE

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-bench" / "bin" / "python"
PEERS = ("procrastinate", "pgqueuer", "saq_postgres", "saq_redis", "streaq", "taskiq")
ARQ = "arq"
NOT_INSTALLED = 2
"""Exit status where a peer is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerQueue:
    """A queue to compare with; the fields are those of `benchmarks.peers.peer.About`."""

    name: str
    versions: str
    jobs: int
    server: str
    claim_durable: bool
    end_durable: bool
    result_stored: bool
    set_up: str

    @property
    def does_the_same(self) -> bool:
        """Whether it commits claim and end to durable storage and stores a result, as this program does."""
        return self.claim_durable and self.end_durable and self.result_stored


def describe(name: str) -> PeerQueue:
    """Return what the peer is. Exits with status 2 and one line where it is not installed."""
    if name == ARQ:
        return _ARQ
    if not PYTHON.exists():
        print(f"the peers are not installed in {PYTHON.parents[1].name}: make bench-queue does it", file=sys.stderr)
        raise SystemExit(NOT_INSTALLED)
    command = [str(PYTHON), "-m", "benchmarks.peers.run", name]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)  # it has said why
    document = json.loads(done.stdout)
    return PeerQueue(name=name, **{key: document[key] for key in document if key != "packages"})


async def jobs_a_second(peer: PeerQueue, environment: Mapping[str, str], replicas: int, count: int) -> float:
    """Return the peer's jobs per second with so many workers."""
    if peer.name == ARQ:
        return await _arq_jobs_a_second(environment, replicas, count)
    command = [PYTHON, "-m", "benchmarks.peers.run", peer.name, str(replicas), str(count)]
    return float(json.loads(await asyncio.to_thread(_output, command, environment))["rate"])


async def _arq_jobs_a_second(environment: Mapping[str, str], replicas: int, count: int) -> float:
    share = count // replicas
    redis = await create_pool(RedisSettings.from_dsn(environment["REDIS_URL"]))
    for _ in range(share * replicas):
        await redis.enqueue_job("nothing", _queue_name=ARQ_QUEUE)
    await redis.aclose()
    command = [sys.executable, "-m", "benchmarks.queue_workers", "arq", str(share)]
    outputs = await asyncio.gather(*(asyncio.to_thread(_output, command, environment) for _ in range(replicas)))
    moments: list[list[float]] = [json.loads(output) for output in outputs]
    return share * replicas / (max(last for _, last in moments) - min(first for first, _ in moments))


def _output(command: Sequence[Any], environment: Mapping[str, str]) -> str:
    """Return what the command prints. Exits with its last words where it fails."""
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command[1:]))} failed:\n{done.stderr[-2000:]}")
    return done.stdout


_ARQ = PeerQueue(
    name=ARQ,
    versions=f"arq {version('arq')}",
    jobs=8_000,
    server="Redis",
    claim_durable=False,
    end_durable=False,
    result_stored=False,
    set_up="its Worker with max_jobs=20, keep_result=0, and a poll each 20 ms",
)
