"""Follow a job until it ends: server-sent events, resumed where they broke off, and polling where there are none."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from vibe8.errors import (
    ConnectionFailedError,
    InvalidAnswerError,
    RateLimitedError,
    ServiceError,
    ServiceUnavailableError,
    Vibe8Error,
    WaitTimeoutError,
)
from vibe8.models.decoding import decode
from vibe8.models.jobs import Job, Progress
from vibe8.protocol.events import Event, EventDecoder
from vibe8.protocol.requests import Request, document, get, nothing, segment
from vibe8.protocol.retries import Retry
from vibe8.protocol.sender import Sender

STREAM_READ_SECONDS = 45.0
"""A stream without a byte for so long is dead: the service sends a comment each 15 s."""

MAX_FAILURES = 3
"""After so many streams in a row that gave nothing, the job is polled only, for POLLED_SECONDS."""

POLLED_SECONDS = 60.0

RECONNECT_SECONDS = 2.0
"""Between a stream that ended and the next one, unless the service says something else."""

MAX_RECONNECT_SECONDS = 30.0
POLL_SECONDS, MAX_POLL_SECONDS = 2.0, 15.0
"""Between two polls: at first, and after a while without a change. A key may have 1,000 requests an hour."""

EVENT_STREAM = "text/event-stream"


def job_request(job_id: str) -> Request[Job]:
    """Return the request for a job."""
    return get(f"/jobs/{segment(job_id)}", document(Job))


def events_request(job_id: str, last_id: str) -> Request[None]:
    """Return the request for a job's events after the one with this id; all from now on for an empty id."""
    headers = {"Accept": EVENT_STREAM, **({"Last-Event-ID": last_id} if last_id else {})}
    return Request(method="GET", path=f"/jobs/{segment(job_id)}/events", parse=nothing, headers=headers)


@dataclass(slots=True)
class JobWatch:
    """One job that is followed, and what is known of it."""

    sender: Sender
    job_id: str
    timeout: float | None
    _started: float = field(default_factory=time.monotonic)
    _contact: float = field(default_factory=time.monotonic)
    _last: Progress | None = None
    _last_id: str = ""
    _delay: float = RECONNECT_SECONDS
    _failures: int = 0
    _streams_from: float = 0.0
    """When a stream is tried again."""
    _poll_seconds: float = POLL_SECONDS

    async def progress(self) -> AsyncGenerator[Progress, None]:
        """Yield the state of now, then each other state, the last one when the job has ended.

        The service may be away for as long as a call waits for it (`Retry.max_wait_seconds`). Raises WaitTimeoutError
        after `timeout` seconds; other Vibe8Errors where the job cannot be read.
        """
        while True:
            streamed = time.monotonic() >= self._streams_from
            async with aclosing(self._streamed() if streamed else self._polled()) as found:
                async for each in found:
                    if each != self._last:
                        self._last, self._poll_seconds = each, POLL_SECONDS
                        yield each
                    if each.finished:
                        return
            await self._pause(self._delay)

    async def _streamed(self) -> AsyncGenerator[Progress, None]:
        """Yield what one stream says; what polling says where the stream fails."""
        try:
            async with aclosing(self._events()) as events:
                async for event in events:
                    self._last_id = event.last_id
                    yield _progress_of(event)
        except (ConnectionFailedError, RateLimitedError, ServiceError, InvalidAnswerError) as error:
            self._check_time()
            self._failures += 1
            pause = POLLED_SECONDS if self._failures >= MAX_FAILURES else _delay_after(error)
            self._streams_from = time.monotonic() + pause
        else:
            return
        async with aclosing(self._polled()) as polled:
            async for each in polled:
                yield each

    async def _events(self) -> AsyncGenerator[Event, None]:
        read_seconds = STREAM_READ_SECONDS if self.timeout is None else min(STREAM_READ_SECONDS, self._left())
        decoder = EventDecoder(self._last_id)
        async with self.sender.open(events_request(self.job_id, self._last_id), read_seconds) as response:
            if response.status_code == 204:  # the last event has been had: the job has ended
                raise InvalidAnswerError("the stream is at its end")
            if not response.headers.get("Content-Type", "").startswith(EVENT_STREAM):
                raise InvalidAnswerError("the answer is no stream of events")
            async for piece in self.sender.connection.read(response):
                self._check_time()
                self._failures, self._contact = 0, time.monotonic()
                for event in decoder.feed(piece):
                    if event.name == "job":
                        yield event
                if decoder.retry_seconds is not None:
                    self._delay = min(decoder.retry_seconds, MAX_RECONNECT_SECONDS)

    async def _polled(self) -> AsyncGenerator[Progress, None]:
        """Yield what the job is now; nothing while the service is away, unless that lasts too long."""
        self._check_time()
        limits, retry = self.sender.limits, self.sender.retry
        if self.timeout is not None:
            limits = replace(limits, timeout=min(limits.timeout, self._left()))
        sender = replace(self.sender, limits=limits, retry=Retry(attempts=1))
        try:
            job = await sender.send(job_request(self.job_id))
        except (ConnectionFailedError, ServiceUnavailableError, RateLimitedError) as error:
            self._check_time()
            self._delay = _delay_after(error)
            away = time.monotonic() - self._contact + self._delay
            if retry.attempts == 1 or away > retry.max_wait_seconds:
                raise
        else:
            self._contact = time.monotonic()
            self._delay = self._poll_seconds
            self._poll_seconds = min(self._poll_seconds * 1.5, MAX_POLL_SECONDS)
            yield Progress.of(job)

    async def _pause(self, seconds: float) -> None:
        await self.sender.connection.sleep(seconds if self.timeout is None else min(seconds, self._left()))
        self._check_time()

    def _left(self) -> float:
        """Return the seconds that are left; at least some, so that a limit of them is one."""
        assert self.timeout is not None  # nosec B101 # noqa: S101 - both callers look
        return max(0.01, self._started + self.timeout - time.monotonic())

    def _check_time(self) -> None:
        if self.timeout is not None and time.monotonic() - self._started >= self.timeout:
            state = "" if self._last is None else f"; it is {self._last.status}"
            raise WaitTimeoutError(f"the job {self.job_id} has not ended within {self.timeout:g} s{state}")


def _progress_of(event: Event) -> Progress:
    try:
        found = json.loads(event.data)
    except (ValueError, RecursionError):
        raise InvalidAnswerError("an event of the stream is no JSON document") from None
    return decode(Progress, found, "the event")


def _delay_after(error: Vibe8Error) -> float:
    wait = getattr(error, "retry_after", None)
    return RECONNECT_SECONDS if wait is None else max(wait, RECONNECT_SECONDS)
