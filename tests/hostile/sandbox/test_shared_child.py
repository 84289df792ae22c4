"""A child that several uploads share, when one of them is hostile: it can influence those of its own user only."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from domain.ports import FollowUp
from infrastructure.child_process.runner import ZygoteRunner
from infrastructure.settings import Settings
from tests.hostile.support import shared_child_attacks
from tests.hostile.support.sandbox_environment import LIMITS, make_public_directory
from worker.analysis.core_pool import CorePool
from worker.analysis.pipeline import Pipeline, PipelineResult
from worker.analysis.pipeline_factory import source_limits
from worker.analysis.shared_child import sharing as sharing_module
from worker.analysis.shared_child.sharing import ChildSharing
from worker.analysis.workspace import remove_tree

ATTACKS = shared_child_attacks.__name__
LIMITED = replace(LIMITS, memory_bytes=2 << 30, total_memory_bytes=1 << 30, cpu_seconds=600)
SECONDS, SHORT_SECONDS = 30.0, 3.0
"""Deadline of a shared child here: enough on a busy machine; and one for a child that hangs."""


@pytest.fixture
async def pipeline(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pipeline]:
    """A pipeline on one core, whose shared children obey an upload that names an attack in its first line."""
    monkeypatch.setattr(sharing_module, "FETCH_EACH", f"{ATTACKS}:fetch_each")
    monkeypatch.setattr(sharing_module, "COLLECT_EACH", f"{ATTACKS}:collect_each")
    monkeypatch.setattr(sharing_module, "SHARED_CHILD_SECONDS", SECONDS)
    directory = make_public_directory()
    children = ZygoteRunner([ATTACKS], LIMITED, scratch=directory)
    options: dict[str, Any] = {
        "children": children,
        "cores": CorePool(1),
        "limits": source_limits(Settings()),
        "scratch_dir": directory,
        "timeout": 120.0,
        "collector_timeout": 60.0,
    }
    yield Pipeline(packages=None, sharing=ChildSharing(**options, most=8), **options)
    await children.stop()
    assert list(directory.iterdir()) == []
    remove_tree(directory)


def source_of(attack: str) -> str:
    return f"# attack: {attack}\nimport os\n\n\ndef run(x):\n    return os.system(x)\n"


async def ignore_progress(_: Mapping[str, Any]) -> None: ...


async def run_together(pipeline: Pipeline, uploads: Sequence[tuple[str, str]]) -> list[PipelineResult]:
    """Run the uploads, each a user and an attack, so that all of a user that may share do."""

    async def run(number: int, user: str, attack: str) -> PipelineResult:
        data = base64.b64encode(source_of(attack).encode()).decode()
        source = {"kind": "upload", "filename": f"file{number}.py", "file_data": data}
        return await pipeline.run(source, ignore_progress, scope=(user, "upload", "x"), turn=number)

    async with pipeline.cores.acquire():
        tasks = [asyncio.create_task(run(number, *upload)) for number, upload in enumerate(uploads)]
        await asyncio.sleep(0.1)
    return await asyncio.gather(*tasks)


def numbers(result: PipelineResult) -> Any:
    return result.analysis.metrics["size"], result.analysis.metrics["security"], result.analysis.metrics["lint"]


async def honest(pipeline: Pipeline) -> Any:
    (alone,) = await run_together(pipeline, [("ann", "none")])
    return numbers(alone)


HARM = {
    "die": r"crashed \(SIGSEGV\)",
    "be_killed": "was killed",
    "hang": "took longer than 3 s",
    "fill_disk": "wrote more than 48 MB",
    "fill_memory": "MemoryError",
    "start_processes": "started more than 40 processes|Resource temporarily unavailable",
    "exit_early": "ended with exit code 0 and without a result",
    "answer_junk": "TypeError",
    "answer_too_few": "ValueError",
}


@pytest.mark.parametrize("attack", HARM)
async def test_neighbours_of_a_hostile_upload_complete(
    pipeline: Pipeline, attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = await honest(pipeline)
    if attack == "hang":
        monkeypatch.setattr(sharing_module, "SHARED_CHILD_SECONDS", SHORT_SECONDS)
    with capture_logs() as logs:
        results = await run_together(pipeline, [("ann", "none"), ("ann", attack), ("ann", "none"), ("bob", "none")])
    assert [numbers(result) for result in results] == [expected] * 4
    reasons = [entry["reason"] for entry in logs if entry["event"] == "analysis.shared_child_killed"]
    assert len(reasons) == 3
    assert re.search(HARM[attack], reasons[0]), reasons[0]


async def test_upload_that_takes_over_a_shared_child_reaches_only_uploads_of_its_user(pipeline: Pipeline) -> None:
    expected = await honest(pipeline)
    uploads = [("ann", "falsify"), ("bob", "none"), ("ann", "none"), ("bob", "none")]
    results = [numbers(result) for result in await run_together(pipeline, uploads)]
    assert results[2] != expected, "it can change the numbers of its own user's other upload, as SECURITY.md says"
    assert [results[1], results[3]] == [expected] * 2
    later = await run_together(pipeline, [("ann", "none"), ("ann", "none")])
    assert [numbers(result) for result in later] == [expected] * 2


async def test_fetching_in_a_shared_child_reaches_the_directories_of_its_uploads_only(pipeline: Pipeline) -> None:
    expected = await honest(pipeline)
    uploads = [("ann", "none"), ("ann", "overwrite_neighbours"), ("ann", "none"), ("bob", "none"), ("bob", "none")]
    results = [numbers(result) for result in await run_together(pipeline, uploads)]
    assert results[0] != expected, "it can change the files of its own user's other upload, as SECURITY.md says"
    assert results[3:] == [expected] * 2


async def test_collecting_in_a_shared_child_cannot_write_to_a_neighbour(pipeline: Pipeline) -> None:
    expected = await honest(pipeline)
    results = await run_together(pipeline, [("ann", "none"), ("ann", "overwrite_when_collecting"), ("ann", "none")])
    assert [numbers(result) for result in results] == [expected] * 3


async def test_attack_on_a_neighbours_directory_succeeds_without_a_sandbox(tmp_path: Path) -> None:
    """Otherwise its failure would prove nothing."""
    runner = ZygoteRunner([ATTACKS], LIMITED, scratch=tmp_path)
    sources = [
        {"kind": "upload", "filename": "a.py", "file_data": base64.b64encode(source_of(attack).encode()).decode()}
        for attack in ("none", "overwrite_when_collecting", "none")
    ]
    selections: list[dict[str, Any]] = [{} for _ in sources]
    request = {"scratch": str(tmp_path), "sources": sources, "limits": source_limits(Settings()).to_json()}
    collecting = {"scratch": str(tmp_path), "collector_timeout": 60.0, "selections": selections}
    follow_up = FollowUp(entry=f"{ATTACKS}:collect_each", request=collecting)
    try:
        await runner.run(f"{ATTACKS}:fetch_each", request, sandbox=None, deadline=60, follow_up=follow_up)
    finally:
        await runner.stop()
    changed = [(tmp_path / str(number) / "tree/a.py").read_text() == shared_child_attacks.FALSE for number in range(3)]
    assert changed == [True, False, True]
