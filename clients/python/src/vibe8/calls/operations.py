"""What operators do, with a key that has the permission `operate`; and what the service says of itself."""

from collections.abc import Mapping, Sequence
from typing import Any

from vibe8.models.jobs import Job
from vibe8.models.operations import (
    AuditEntry,
    Check,
    Ends,
    Pause,
    ProblemCode,
    Queue,
    WebhookDelivery,
    Worker,
)
from vibe8.protocol.endpoints import Group, Mode, call, every
from vibe8.protocol.requests import Page, Request, document, get, listing, mapping, member, page, segment


class Operations(Group[Mode]):
    """The queue, the workers, and the jobs of all users."""

    @call
    def queue(self) -> Request[Queue]:
        """Return how many jobs of all users are in each state, and whether the fleet is paused."""
        return get("/ops/queue", document(Queue))

    @call
    def ends(self) -> Request[Ends]:
        """Return how many jobs ended in each minute of the last hour, by outcome."""
        return get("/ops/ends", document(Ends))

    @call
    def checks(self, *, limit: int | None = None, cursor: str | None = None) -> Request[Page[Check]]:
        """Return a page of the checks of all tracked repositories, the one that is due for longest first."""
        return get("/ops/checks", page("checks", Check), limit=limit, cursor=cursor)

    iterate_checks = every(checks)
    """Yield the checks of all pages."""

    @call
    def webhooks(
        self, *, state: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Request[Page[WebhookDelivery]]:
        """Return a page of webhook deliveries: `waiting` or `given_up` ones, or those that have ended, newest first."""
        return get("/ops/webhooks", page("webhooks", WebhookDelivery), state=state, limit=limit, cursor=cursor)

    iterate_webhooks = every(webhooks)
    """Yield the deliveries of all pages."""

    @call
    def resend_webhook(self, notice_id: str) -> Request[WebhookDelivery]:
        """Send a webhook again, also one that has arrived. Its id stays, so its receiver can tell."""
        path = f"/ops/webhooks/{segment(notice_id)}/resend"
        return Request(method="POST", path=path, parse=document(WebhookDelivery))

    @call
    def pause(self) -> Request[Pause]:
        """Keep all workers from claiming jobs. Running ones go on."""
        return Request(method="POST", path="/ops/pause", parse=document(Pause))

    @call
    def resume(self) -> Request[Pause]:
        """Let the workers claim jobs again."""
        return Request(method="POST", path="/ops/resume", parse=document(Pause))

    @call
    def workers(self) -> Request[Sequence[Worker]]:
        """Return the workers with their jobs, slots, version and last report."""
        return get("/ops/workers", listing("workers", Worker))

    @call
    def drain(self, worker_id: str | None) -> Request[Sequence[str]]:
        """Tell one worker, or all for None, to finish their jobs and end. Returns those that were told."""
        wanted = {"worker_id": worker_id}
        return Request(method="POST", path="/ops/drain", parse=member("draining", Sequence[str]), json=wanted)

    @call
    def jobs(
        self,
        *,
        status: Sequence[str] = (),
        user: str | None = None,
        job: str | None = None,
        since_seconds: int | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Request[Page[Job]]:
        """Return a page of all users' jobs, the last changed first; of one `user` (email or id), the newest first.

        `job` is the beginning of an id.
        """
        wanted = {"status": status, "user": user, "job": job, "since_seconds": since_seconds}
        return get("/ops/jobs", page("jobs", Job), **wanted, limit=limit, cursor=cursor)

    iterate_jobs = every(jobs)
    """Yield the jobs of all pages."""

    @call
    def job(self, job_id: str) -> Request[Job]:
        """Return a job of any user, with the webhook deliveries about it in `notices`."""
        return get(f"/ops/jobs/{segment(job_id)}", document(Job))

    @call
    def cancel(self, job_id: str) -> Request[Job]:
        """Cancel a job of any user that has not ended."""
        return Request(method="POST", path=f"/ops/jobs/{segment(job_id)}/cancel", parse=document(Job))

    @call
    def retry(self, job_id: str) -> Request[Job]:
        """Make a failed job of any user pending again, whatever the user's limits."""
        return Request(method="POST", path=f"/ops/jobs/{segment(job_id)}/retry", parse=document(Job))

    @call
    def audit(
        self,
        *,
        user: str | None = None,
        action: str | None = None,
        since_seconds: int | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Request[Page[AuditEntry]]:
        """Return a page of who did what, newest first."""
        wanted = {"user": user, "action": action, "since_seconds": since_seconds}
        return get("/ops/audit", page("entries", AuditEntry), **wanted, limit=limit, cursor=cursor)

    iterate_audit = every(audit)
    """Yield the entries of all pages."""


class Service(Group[Mode]):
    """What the service says of itself. Needs no key."""

    @call
    def problems(self) -> Request[Sequence[ProblemCode]]:
        """Return the codes of the problems that answers may have."""
        return get("/problems", listing("problems", ProblemCode))

    @call
    def description(self) -> Request[Mapping[str, Any]]:
        """Return the API's description in OpenAPI 3.1."""
        return get("/openapi.json", mapping)
