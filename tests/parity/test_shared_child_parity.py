"""Uploads that share a child get the very documents that they get alone."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from domain.errors import InvalidInputError
from domain.selection import SELECTION
from domain.sources import SMALL_UPLOAD_BYTES
from infrastructure.settings import Settings
from worker.analysis.core_pool import CorePool
from worker.analysis.pipeline import Pipeline
from worker.analysis.pipeline_factory import open_pipeline
from worker.analysis.shared_child import sharing as sharing_module
from worker.analysis.shared_child.sharing import ChildSharing

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.py"))
PROGRAM = sorted((Path(__file__).parents[2] / "worker").rglob("*.py"))
CRAFTED: Mapping[str, bytes] = {
    "broken.py": b"def (:\n",
    "latin.py": b"x = '\xe9'\n",
    "__init__.py": b"import __init__\nimport os\nfrom . import a\n",
    "silenced.py": b"import os  # noqa: F401\nimport sys\nassert sys  # nosec\nl = 1  # noqa\n",
    "blanket.py": b"# ruff: noqa\nimport os\n",
    "imports.py": b"import requests, numpy as np\nimport yaml\nfrom collections import *\n",
    "deep.py": b"x = " + b"not " * 500 + b"1\n",
    "brackets.py": b"x = " + b"[" * 5_000 + b"]" * 5_000 + b"\n",
    "twice.py": b"def f(a, b, c):\n    return a + b * c - a * b + c * (a - b) + a * c - b * c + a\n" * 12,
    "\u00fcml\u00e4ut.py": "x = '\u00e9'\n".encode(),
    "-x.py": b"import os\n",
}
SEVERAL = 8
SELECTIONS: Sequence[Mapping[str, Any]] = [
    {},
    {"collectors": ["lint"]},
    {"collectors": ["dead_code", "size"], "exclude": ["b*"]},
    {"exclude": ["*"]},
]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(scratch_dir=tmp_path_factory.mktemp("scratch"), package_index_url="")  # type: ignore[arg-type]


@pytest.fixture
async def pipeline(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pipeline]:
    """A pipeline on one core, so that what waits shares."""
    monkeypatch.setattr(sharing_module, "SHARED_CHILD_SECONDS", 120.0)  # this machine may be busy
    async with open_pipeline(settings) as opened:
        cores = CorePool(1)
        sharing = ChildSharing(
            children=opened.children,
            cores=cores,
            limits=opened.limits,
            scratch_dir=opened.scratch_dir,
            timeout=opened.timeout,
            collector_timeout=opened.collector_timeout,
            most=SEVERAL,
        )
        yield replace(opened, cores=cores, sharing=sharing)


async def ignore_progress(_: Mapping[str, Any]) -> None: ...


async def run(
    pipeline: Pipeline, uploads: Sequence[tuple[str, bytes]], user: str, *, selected: bool = False
) -> list[Any]:
    """Return the document of each upload without its timings, or its error's text.

    If `selected`, different parts of the uploads are measured.
    """

    async def one(name: str, content: bytes) -> Any:
        source: dict[str, Any] = {"kind": "upload", "filename": name, "file_data": base64.b64encode(content).decode()}
        source[SELECTION] = SELECTIONS[sum(name.encode()) % len(SELECTIONS)] if selected else {}
        result = await pipeline.run(source, ignore_progress, scope=(user, "upload", name) if user else ())
        return {**result.analysis.document(), "timings_ms": None}, result.fetched.to_json()

    async with pipeline.cores.acquire():
        tasks = [asyncio.create_task(one(*upload)) for upload in uploads]
        await asyncio.sleep(0.1)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    unexpected = [
        each for each in results if isinstance(each, BaseException) and not isinstance(each, InvalidInputError)
    ]
    assert unexpected == []
    return [str(each) if isinstance(each, BaseException) else each for each in results]


def small(files: Sequence[Path]) -> list[tuple[str, bytes]]:
    return [(file.name, file.read_bytes()) for file in files if 0 < file.stat().st_size <= SMALL_UPLOAD_BYTES]


@pytest.mark.parametrize("name", ["corpus", "program", "crafted"])
async def test_documents_of_a_shared_child_are_those_of_a_child_alone(pipeline: Pipeline, name: str) -> None:
    uploads = {"corpus": small(CORPUS), "program": small(PROGRAM)[:24], "crafted": list(CRAFTED.items())}[name]
    refused = [("..py", b"x = 1\n"), ("a/b.py", b"x = 1\n"), ("nul\0.py", b"x = 1\n")]
    uploads = [*uploads, *refused]
    alone = await run(pipeline, uploads, "")
    with capture_logs() as logs:
        shared = await run(pipeline, uploads, "ann")
    assert shared == alone
    assert len(uploads) > SEVERAL
    assert [entry for entry in logs if entry["event"] == "analysis.shared_child_killed"] == []
    assert sum(isinstance(each, str) for each in alone) >= 2


async def test_uploads_of_which_different_parts_are_measured_share_a_child(pipeline: Pipeline) -> None:
    uploads = small(CORPUS)
    alone = await run(pipeline, uploads, "", selected=True)
    shared = await run(pipeline, uploads, "ann", selected=True)
    assert shared == alone
    assert sum(isinstance(each, str) for each in alone) > 0
    documents = [each[0] for each in alone if not isinstance(each, str)]
    requested = {"".join(sorted(set(each["completeness"]["collectors"].values()))) for each in documents}
    assert len(requested) > 1
