"""Jobs: submit a file or a repository, follow, read the result, cancel, retry."""

import json
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from vibe8.models.jobs import Job, Progress, WebhookDelivery
from vibe8.models.runs import Result
from vibe8.protocol.endpoints import Group, Mode, call, every, steps, stream
from vibe8.protocol.requests import Answer, Form, Page, Request, document, get, listing, page, segment
from vibe8.protocol.service_address import header_value
from vibe8.protocol.watching import JobWatch, job_request

Options = Mapping[str, Any]


class Jobs(Group[Mode]):
    """The caller's jobs."""

    @steps
    async def submit_file(
        self,
        source: str | Path | bytes | BinaryIO,
        *,
        filename: str | None = None,
        project_name: str | None = None,
        author_type: str | None = None,
        author_model: str | None = None,
        notify_url: str | None = None,
        options: Options | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Submit a `.py` or `.zip` file: a path, or its content with a `filename`. The file is read while it is sent.

        `options` are those of docs/client.md, such as `{"gate": ...}`. A submission that is sent again after a failure
        has the same `idempotency_key` (random by default), and is one job. Raises OSError, ValueError.
        """
        texts = {
            "project_name": project_name,
            "author_type": author_type,
            "author_model": author_model,
            "notify_url": notify_url,
            "options": None if options is None else json.dumps(options),
        }
        with _opened(source, filename) as (name, file):
            form = Form(filename=name, file=file, texts={key: text for key, text in texts.items() if text is not None})
            repeatable = file.seekable()
            return await self.sender.send(_submission(idempotency_key, form=form, repeatable=repeatable))

    @call
    def submit_repository(
        self,
        url: str,
        *,
        branch: str | None = None,
        token: str | None = None,
        project_name: str | None = None,
        author_type: str | None = None,
        author_model: str | None = None,
        notify_url: str | None = None,
        options: Options | None = None,
        idempotency_key: str | None = None,
    ) -> Request[Job]:
        """Submit a git repository by its https URL. `token` is for a private one; the service shows it to nobody.

        See `submit_file` for the rest.
        """
        wanted = {
            "repository": {"url": url, "branch": branch, "token": token},
            "project_name": project_name,
            "author_type": author_type,
            "author_model": author_model,
            "notify_url": notify_url,
            "options": dict(options or {}),
        }
        return _submission(idempotency_key, body=wanted)

    @call
    def get(self, job_id: str) -> Request[Job]:
        """Return a job: its state, stage and progress."""
        return job_request(job_id)

    @call
    def list(
        self,
        *,
        status: str | None = None,
        since_seconds: int | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Request[Page[Job]]:
        """Return a page of your jobs, newest first."""
        return get("/jobs", page("jobs", Job), status=status, since_seconds=since_seconds, limit=limit, cursor=cursor)

    iterate = every(list)
    """Yield the jobs of all pages."""

    @stream
    async def watch(self, job_id: str, *, timeout: float | None = None) -> AsyncGenerator[Progress, None]:
        """Yield the job's progress until it has ended, by server-sent events, or by polling where there are none.

        Continues where it was after a connection that broke off, at any replica. Raises WaitTimeoutError after
        `timeout` seconds; it is checked when something arrives, at least each 15 s.
        """
        async with aclosing(JobWatch(self.sender, job_id, timeout).progress()) as found:
            async for each in found:
                yield each

    @steps
    async def wait(self, job_id: str, *, timeout: float | None = None) -> Job:
        """Wait until the job has ended, and return it: completed or failed. See `watch`."""
        async with aclosing(JobWatch(self.sender, job_id, timeout).progress()) as found:
            async for _ in found:
                pass
        return await self.sender.send(job_request(job_id))

    @call
    def result(self, job_id: str) -> Request[Result]:
        """Return the job's result. Of a job that has failed or not ended, see `Result`. Nothing is deleted."""
        return get(f"/jobs/{segment(job_id)}/result", document(Result))

    @call
    def webhooks(self, job_id: str) -> Request[Sequence[WebhookDelivery]]:
        """Return the webhook deliveries about the job, oldest first."""
        return get(f"/jobs/{segment(job_id)}/webhooks", listing("webhooks", WebhookDelivery))

    @call
    def delete(self, job_id: str) -> Request[Job | None]:
        """Cancel a job that has not ended, and return it; or delete one that has, and return None. Its run stays."""
        return Request(method="DELETE", path=f"/jobs/{segment(job_id)}", parse=_deleted)

    @call
    def retry(self, job_id: str) -> Request[Job]:
        """Make a failed job pending again, with its attempts reset."""
        return Request(method="POST", path=f"/jobs/{segment(job_id)}/retry", parse=document(Job))


def _submission(
    key: str | None, *, form: Form | None = None, body: object = None, repeatable: bool = True
) -> Request[Job]:
    named = uuid4().hex if key is None else header_value("the idempotency key", key)
    return Request(
        method="POST",
        path="/jobs",
        parse=document(Job),
        headers={"Idempotency-Key": named},
        form=form,
        json=body,
        repeatable=repeatable,
    )


def _deleted(answer: Answer) -> Job | None:
    return None if answer.status == 204 else document(Job)(answer)


@contextmanager
def _opened(source: str | Path | bytes | BinaryIO, filename: str | None) -> Iterator[tuple[str, BinaryIO]]:
    """Give the name and the open file. Raises OSError, and ValueError for content without a name."""
    if isinstance(source, str | Path):
        with Path(source).open("rb") as file:
            yield filename or Path(source).name, file
        return
    if not filename:
        raise ValueError("content without a path needs a filename that ends in .py or .zip")
    yield filename, BytesIO(source) if isinstance(source, bytes) else source
