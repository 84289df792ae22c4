"""How this machine analyses a source, from its settings: needs neither queue nor database, and imports neither.

`vibe8 analyze` starts in half the time for that; the queue's workers use the very same pipeline.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from domain.ports import PackageIndex
from infrastructure.child_process.runner import ZygoteRunner
from infrastructure.child_process.zygote_process import ZygoteProcess
from infrastructure.outbound.lazy_package_index import LazyPackageIndex
from infrastructure.sandbox.guarantees import require_guarantees
from infrastructure.sandbox.privileges import set_undumpable
from infrastructure.sandbox.sandbox import ChildLimits, disable_core_dumps
from infrastructure.settings import Settings
from infrastructure.sources.tree.limits import SourceLimits
from worker.analysis.core_pool import CorePool
from worker.analysis.pipeline import Pipeline
from worker.analysis.preload import PRELOAD, WARM_UP
from worker.analysis.workspace import worker_workspace

MB = 1024 * 1024
THREADS_AT_WORK = 4
"""The most that one process of a child has: ruff's."""


@asynccontextmanager
async def open_pipeline(settings: Settings, launched: ZygoteProcess | None = None) -> AsyncIterator[Pipeline]:
    """How this machine analyses a source: children, scratch and the package index; nothing of them left at the end.

    `launched` is a zygote that has been started with PRELOAD already, to save time.

    Raises InvalidInputError where SCRATCH_DIR cannot be written, and where the settings ask for a sandbox that there
    is not.
    """
    disable_core_dumps()
    set_undumpable()
    async with AsyncExitStack() as stack:
        scratch = stack.enter_context(worker_workspace(settings.scratch_dir))
        cores = CorePool()
        children = ZygoteRunner(
            PRELOAD,
            child_limits(settings, cores.count),
            scratch=scratch,
            zygote=launched,
            warm_up=None if launched else WARM_UP,
        )
        stack.push_async_callback(children.stop)
        packages = _package_index(settings)
        if packages is not None:
            stack.push_async_callback(packages.aclose)
        await children.start()
        require_guarantees(settings.sandbox, children.guarantees)
        yield _pipeline(settings, children, packages, scratch, cores)


def _package_index(settings: Settings) -> LazyPackageIndex | None:
    """None where look-ups are switched off."""
    if settings.package_index_url is None:
        return LazyPackageIndex(None)
    address = settings.package_index_url.get_secret_value()
    return LazyPackageIndex(address) if address else None


def child_limits(settings: Settings, cores: int) -> ChildLimits:
    """What one child may use: room for a lane on each core and for the tools, and for whatever a source may bring."""
    memory = settings.analysis_memory_mb * MB
    largest = max(settings.max_clone_mb, settings.max_inflated_mb) * MB
    return ChildLimits(
        memory_bytes=memory,
        file_bytes=largest,
        cpu_seconds=THREADS_AT_WORK * settings.arq_job_timeout,
        tasks=64 + 4 * cores,
        total_memory_bytes=(cores + 2) * memory,
        disk_bytes=3 * largest,  # the objects, their index, and the files written from them
        disk_entries=4 * settings.max_tree_files + 100_000,
    )


def _pipeline(
    settings: Settings, children: ZygoteRunner, packages: PackageIndex | None, scratch: Path, cores: CorePool
) -> Pipeline:
    return Pipeline(
        children=children,
        packages=packages,
        limits=source_limits(settings),
        scratch_dir=scratch,
        cores=cores,
        timeout=settings.arq_job_timeout,
        collector_timeout=settings.collector_timeout,
        guarantees=children.guarantees,
    )


def source_limits(settings: Settings) -> SourceLimits:
    """The limits of a submission's size, in bytes and counts."""
    return SourceLimits(
        max_upload_bytes=settings.max_upload_mb * MB,
        max_zip_entries=settings.max_zip_entries,
        max_inflated_bytes=settings.max_inflated_mb * MB,
        max_zip_ratio=settings.max_zip_ratio,
        max_clone_bytes=settings.max_clone_mb * MB,
        max_tree_files=settings.max_tree_files,
        max_file_bytes=settings.max_file_kb * 1024,
    )
