"""Build the pipeline from the settings.

`vibe8 analyze` and the workers use the same pipeline. This module imports neither the database nor the queue: `vibe8
analyze` needs neither, and starts in half the time without them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from domain.ports import ClosablePackageIndex, PackageIndex
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
from worker.analysis.sandbox_profiles import MemoryBudget
from worker.analysis.shared_child.sharing import ChildSharing
from worker.analysis.workspace import worker_workspace

MB = 1024 * 1024
MAX_BUSY_THREADS = 4
"""The largest number of threads that compute in one process of a child: those of ruff."""


@asynccontextmanager
async def open_pipeline(
    settings: Settings, zygote: ZygoteProcess | None = None, packages: ClosablePackageIndex | None = None
) -> AsyncIterator[Pipeline]:
    """Start the children's zygote, create the workspace and open the package index; undo all of it at the end.

    `zygote` is one that was already started with PRELOAD, to save time; it is not warmed up. `packages` is the index
    to use with such a zygote; without a zygote it is the one of the settings. Raises InvalidInputError
    where SCRATCH_DIR cannot be written, and where the settings require a sandbox that this machine does not offer.
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
            zygote=zygote,
            warm_up=None if zygote else WARM_UP,
        )
        stack.push_async_callback(children.stop)
        if zygote is None:
            packages = package_index(settings)
        if packages is not None:
            stack.push_async_callback(packages.aclose)
            preparing = asyncio.create_task(packages.prepare())  # beside the zygote's imports
            stack.callback(preparing.cancel)
        await children.start()
        require_guarantees(settings.sandbox, children.guarantees)
        yield build_pipeline(settings, children, packages, scratch, cores)


def package_index(settings: Settings) -> ClosablePackageIndex | None:
    """Return the configured package index, None where look-ups are switched off."""
    if settings.package_index_url is None:
        return LazyPackageIndex(None)
    address = settings.package_index_url.get_secret_value()
    return LazyPackageIndex(address) if address else None


def child_limits(settings: Settings, cores: int) -> ChildLimits:
    """Return the limits of one child: enough for a pool process on each core, the tools, and any allowed source."""
    memory = settings.analysis_memory_mb * MB
    largest = max(settings.max_clone_mb, settings.max_inflated_mb) * MB
    return ChildLimits(
        memory_bytes=memory,
        file_bytes=largest,
        cpu_seconds=MAX_BUSY_THREADS * settings.arq_job_timeout,
        tasks=64 + 4 * cores,
        total_memory_bytes=cores * memory,
        disk_bytes=3 * largest,  # git objects, their index, and the files written from them
        disk_entries=4 * settings.max_tree_files + 100_000,
    )


def build_pipeline(
    settings: Settings, children: ZygoteRunner, packages: PackageIndex | None, scratch: Path, cores: CorePool
) -> Pipeline:
    """Return the pipeline of these parts, with the limits of the settings."""
    limits = source_limits(settings)
    memory = memory_budget(settings, cores.count)
    sharing = ChildSharing(
        children=children,
        cores=cores,
        limits=limits,
        scratch_dir=scratch,
        timeout=settings.arq_job_timeout,
        collector_timeout=settings.collector_timeout,
        memory=memory,
        most=settings.share_child_jobs,
    )
    return Pipeline(
        children=children,
        packages=packages,
        limits=limits,
        scratch_dir=scratch,
        cores=cores,
        timeout=settings.arq_job_timeout,
        collector_timeout=settings.collector_timeout,
        guarantees=children.guarantees,
        memory=memory,
        fetches=asyncio.Semaphore(memory.fetches),
        sharing=sharing if settings.share_child_jobs > 1 else None,
    )


def memory_budget(settings: Settings, cores: int) -> MemoryBudget:
    """Return what the children of a worker with so many cores may take together."""
    return MemoryBudget(unit=settings.analysis_memory_mb * MB, cores=cores)


def source_limits(settings: Settings) -> SourceLimits:
    """Return the limits of a source: sizes in bytes, and counts."""
    return SourceLimits(
        max_upload_bytes=settings.plans.upload_bytes,
        max_zip_entries=settings.max_zip_entries,
        max_inflated_bytes=settings.max_inflated_mb * MB,
        max_zip_ratio=settings.max_zip_ratio,
        max_clone_bytes=settings.max_clone_mb * MB,
        max_tree_files=settings.max_tree_files,
        max_file_bytes=settings.max_file_kb * 1024,
    )
