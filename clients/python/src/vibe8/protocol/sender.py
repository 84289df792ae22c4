"""Sends requests and reads answers: bounded, repeated where that is safe, errors as exceptions. One for both modes."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from vibe8.errors import ConnectionFailedError, InvalidAnswerError, Vibe8Error
from vibe8.protocol.connections import Connection
from vibe8.protocol.problems import error_of
from vibe8.protocol.requests import Answer, Request
from vibe8.protocol.retries import Attempts, Retry
from vibe8.protocol.service_address import ServiceAddress

T = TypeVar("T")
CONNECT_SECONDS = 10.0
MAX_ERROR_BYTES = 256 * 1024
"""What is read of an answer that is an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one attempt: seconds until something is read or written, seconds in all, bytes of an answer."""

    timeout: float
    total_seconds: float
    answer_bytes: int


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends the requests of one client."""

    connection: Connection
    address: ServiceAddress
    limits: Limits
    retry: Retry

    async def send(self, request: Request[T]) -> T:
        """Return what the request's parser makes of the answer. Raises Vibe8Error."""
        attempts = Attempts(self.retry, request.repeatable)
        while True:
            try:
                return request.parse(await self._attempt(request))
            except Vibe8Error as error:
                if (delay := attempts.delay_after(error)) is None:
                    raise
            await self.connection.sleep(delay)

    async def _attempt(self, request: Request[Any]) -> Answer:
        deadline = time.monotonic() + self.limits.total_seconds
        async with self.open(request, self.limits.timeout) as response:
            body = await self._read(response, self.limits.answer_bytes, deadline)
            return Answer(status=response.status_code, headers=response.headers, body=body)

    @asynccontextmanager
    async def open(self, request: Request[Any], read_seconds: float) -> AsyncIterator[httpx.Response]:
        """Send the request once, and give the successful answer whose body is still to be read.

        `read_seconds` is the most between two pieces. Raises Vibe8Error, also for a connection that ends in the block.
        """
        response = None
        try:
            response = await self.connection.send(self._built(request, read_seconds))
            if not response.is_success:
                raise await self._error(response)
            yield response
        except httpx.RequestError as error:
            raise ConnectionFailedError(self._failure(error, read_seconds)) from error
        finally:
            if response is not None:
                await self.connection.release(response)

    def _built(self, request: Request[Any], read_seconds: float) -> httpx.Request:
        files = None
        if (form := request.form) is not None:
            files = {"file": (form.filename, form.file, "application/octet-stream")}
        return httpx.Request(
            request.method,
            self.address.of_call(request.path),
            params=request.parameters() or None,
            headers={**self.address.headers, **request.headers},
            json=request.json,
            data=None if form is None else dict(form.texts),
            files=files,
            content=request.content,
            extensions={"timeout": httpx.Timeout(read_seconds, connect=min(read_seconds, CONNECT_SECONDS)).as_dict()},
        )

    async def _error(self, response: httpx.Response) -> Vibe8Error:
        deadline = time.monotonic() + self.limits.timeout
        try:
            body = await self._read(response, MAX_ERROR_BYTES, deadline)
        except InvalidAnswerError:
            body = b""
        return error_of(response.status_code, response.headers, body)

    async def _read(self, response: httpx.Response, limit: int, deadline: float) -> bytes:
        body = bytearray()
        async for piece in self.connection.read(response):
            body += piece
            if len(body) > limit:
                raise InvalidAnswerError(f"the answer has more than {limit} bytes, the client's max_answer_bytes")
            if time.monotonic() > deadline:
                raise ConnectionFailedError(f"{self.address.url.host} took too long to send its answer")
        return bytes(body)

    def _failure(self, error: httpx.RequestError, read_seconds: float) -> str:
        host = self.address.url.host
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return f"{host} cannot be reached: {error or 'no answer'}"
        if isinstance(error, httpx.TimeoutException):
            return f"{host} did not answer within {read_seconds:g} s"
        return f"the connection to {host} broke off: {error or type(error).__name__}"
