"""What ARQ calls. A task is a doorbell: it carries a job's id as a hint, and the database says what is due."""

from typing import Any

from infrastructure.failpoints import failpoint
from worker.crew import Crew


async def analyze(ctx: dict[str, Any], job_id: str) -> None:  # noqa: ARG001 - the fairest due job is taken, not this one
    """Work on the fairest due job. Ends at once when there is none: somebody else has answered this ring."""
    failpoint("picked-up")
    crew: Crew = ctx["crew"]
    await crew.answer()
