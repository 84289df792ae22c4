"""Fuzzed sources through the whole pipeline with real children: a result or a clear error, and no process left."""

import asyncio
import base64
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import PermanentError
from infrastructure.settings import Settings
from tests.fixtures.archives import make_zip
from tests.fixtures.processes import alive, descendants, parent_of
from tests.fuzz.generators import WITHOUT_SHRINKING, count_outcome, fuzz_settings, mutate, rearrange
from tests.fuzz.jail import assert_clear_message, assert_no_process_left
from tests.fuzz.test_fuzz_archives import SEEDS as ARCHIVES
from tests.fuzz.test_fuzz_git import FORMS, change_files
from tests.fuzz.test_fuzz_sources import DATA
from tests.hostile.support.naughty_strings import assert_harmless
from worker.analysis.pipeline import Pipeline
from worker.analysis.pipeline_factory import open_pipeline

Running = tuple[asyncio.Runner, Pipeline, Path]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as scratch:
        settings = Settings(scratch_dir=Path(scratch), package_index_url="")  # type: ignore[arg-type]
        opened = open_pipeline(settings)
        yield runner, runner.run(opened.__aenter__()), Path(scratch)
        runner.run(opened.__aexit__(None, None, None))
        assert not list(Path(scratch).iterdir())


def run_pipeline(running: Running, surface: str, filename: str, data: bytes) -> str:
    """Analyse the upload and check what it leaves behind. Returns "completed" or "refused"."""
    runner, pipeline, scratch = running
    source = {"kind": "upload", "filename": filename, "file_data": base64.b64encode(data).decode()}
    try:
        result = runner.run(pipeline.run(source, ignore_progress))
    except PermanentError as error:
        assert_clear_message(str(error))
        outcome = "refused"
    else:
        assert_harmless(asdict(result.analysis))
        assert set(result.analysis.completeness["collectors"].values()) <= {"ok", "partial", "failed"}
        outcome = "completed"
    count_outcome(surface, outcome)
    assert not list(scratch.glob("*/job-*"))
    zygote = pipeline.children.pid  # type: ignore[attr-defined]
    assert not alive([process for process in descendants(zygote) if parent_of(process) not in (zygote, None)])
    (worker,) = scratch.glob("worker-*")
    assert_no_process_left(worker / "job-")
    return outcome


async def ignore_progress(_: object) -> None:
    pass


SEEDS = st.integers(0, 2**32)


def test_unchanged_upload_completes(running: Running) -> None:
    repository = {f".git/{name}": data for name, data in FORMS["packed"].items()}
    data = make_zip({"a.py": b"x = 1\n", **repository})
    assert run_pipeline(running, "children: unchanged", "u.zip", data) == "completed"


@fuzz_settings(8, phases=WITHOUT_SHRINKING)
@given(cases=st.lists(st.tuples(st.integers(0, len(DATA) - 1), SEEDS, st.booleans()), min_size=1, max_size=12))
def test_child_handles_changed_sources(running: Running, cases: Sequence[tuple[int, int, bool]]) -> None:
    files = {
        f"f{number}.py": (mutate if destructive else rearrange)(DATA[index], seed, DATA)
        for number, (index, seed, destructive) in enumerate(cases)
    }
    run_pipeline(running, "children: sources", "u.zip", make_zip(files))


@fuzz_settings(6, phases=WITHOUT_SHRINKING)
@given(form=st.sampled_from(sorted(FORMS)), seed=SEEDS)
def test_child_handles_changed_git_directories(running: Running, form: str, seed: int) -> None:
    files = {f".git/{name}": data for name, data in change_files(FORMS[form], seed).items()}
    run_pipeline(running, "children: .git", "u.zip", make_zip({"a.py": "x = 1\n", **files}))


@fuzz_settings(6, phases=WITHOUT_SHRINKING)
@given(index=st.integers(0, len(ARCHIVES) - 1), seed=SEEDS)
def test_child_handles_mutated_archives(running: Running, index: int, seed: int) -> None:
    run_pipeline(running, "children: archives", "u.zip", mutate(ARCHIVES[index], seed, ARCHIVES))


@fuzz_settings(6, phases=WITHOUT_SHRINKING)
@given(index=st.integers(0, len(DATA) - 1), seed=SEEDS)
def test_child_handles_a_mutated_file(running: Running, index: int, seed: int) -> None:
    run_pipeline(running, "children: one file", "a.py", mutate(DATA[index], seed, DATA))
