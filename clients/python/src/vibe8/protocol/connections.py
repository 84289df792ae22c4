"""Two connections to the service, blocking and asynchronous, behind one interface of coroutines."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Protocol

import httpx


class Connection(Protocol):
    """Sends requests and waits. All methods are coroutines; those of a blocking connection never suspend."""

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send the request, and return the answer's head; its body is still to be read. Raises httpx.TransportError."""
        ...

    def read(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """Yield the body in pieces, decoded. Raises httpx.TransportError."""
        ...

    async def release(self, response: httpx.Response) -> None:
        """Close the answer, read or not."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class BlockingConnection:
    """A connection that blocks the thread. Several threads may use it."""

    def __init__(self, transport: httpx.BaseTransport | None) -> None:
        self._http = httpx.Client(transport=transport, follow_redirects=False)

    async def send(self, request: httpx.Request) -> httpx.Response:
        """See `Connection`."""
        return self._http.send(request, stream=True)

    async def read(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """See `Connection`."""
        for piece in response.iter_bytes():
            yield piece

    async def release(self, response: httpx.Response) -> None:
        """See `Connection`."""
        response.close()

    async def sleep(self, seconds: float) -> None:
        """See `Connection`."""
        time.sleep(seconds)  # noqa: ASYNC251 - blocking is what this connection does

    async def close(self) -> None:
        """See `Connection`."""
        self._http.close()


class AsyncConnection:
    """A connection on asyncio."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None) -> None:
        self._http = httpx.AsyncClient(transport=transport, follow_redirects=False)

    async def send(self, request: httpx.Request) -> httpx.Response:
        """See `Connection`."""
        return await self._http.send(request, stream=True)

    async def read(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """See `Connection`."""
        async for piece in response.aiter_bytes():
            yield piece

    async def release(self, response: httpx.Response) -> None:
        """See `Connection`."""
        await response.aclose()

    async def sleep(self, seconds: float) -> None:
        """See `Connection`."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """See `Connection`."""
        await self._http.aclose()
