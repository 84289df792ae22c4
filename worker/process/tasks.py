"""The ARQ task. It is a wake-up: the database decides which job is due, and not the job id in the payload."""

from typing import Any

from infrastructure.failpoints import failpoint
from worker.process.job_pool import JobPool


async def analyze(ctx: dict[str, Any], *args: Any, **kwargs: Any) -> None:  # noqa: ARG001 - see above
    """Make the worker claim due jobs now.

    The arguments are ignored, so that a newer version may send others.
    """
    failpoint("picked-up")
    pool: JobPool = ctx["pool"]
    pool.wake()
