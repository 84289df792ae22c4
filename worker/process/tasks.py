"""What ARQ calls. A task is a wake-up: it carries a job's id as a hint, and the database says what is due."""

from typing import Any

from infrastructure.failpoints import failpoint
from worker.process.job_pool import JobPool


async def analyze(ctx: dict[str, Any], *args: Any, **kwargs: Any) -> None:  # noqa: ARG001 - see above
    """Work on the fairest due job, whichever rang and whatever a newer version says beside its id.

    Ends at once when there is none: somebody else has answered this ring.
    """
    failpoint("picked-up")
    pool: JobPool = ctx["pool"]
    await pool.run_next()
