"""The two clients. They have the same calls, in groups; `AsyncClient` returns awaitables and asynchronous iterators."""

from typing import Generic, Self

import httpx

from vibe8.calls.accounts import Keys, Reports, UsageCalls
from vibe8.calls.evaluations import Evaluations
from vibe8.calls.jobs import Jobs
from vibe8.calls.operations import Operations, Service
from vibe8.calls.repositories import Repositories
from vibe8.calls.runs import Projects, Runs
from vibe8.protocol.connections import AsyncConnection, BlockingConnection, Connection
from vibe8.protocol.endpoints import Mode
from vibe8.protocol.modes import Asynchronous, Blocking, run_blocking
from vibe8.protocol.retries import Retry
from vibe8.protocol.sender import Limits, Sender
from vibe8.protocol.service_address import ServiceAddress

TIMEOUT_SECONDS = 60.0
TOTAL_SECONDS = 600.0
MAX_ANSWER_BYTES = 256 * 1024 * 1024
DEFAULT_RETRY = Retry()


class _Groups(Generic[Mode]):
    """The groups of calls."""

    def __init__(self, mode: Mode) -> None:
        self._sender = mode.sender
        self.jobs: Jobs[Mode] = Jobs(mode)
        self.runs: Runs[Mode] = Runs(mode)
        self.projects: Projects[Mode] = Projects(mode)
        self.repositories: Repositories[Mode] = Repositories(mode)
        self.evaluations: Evaluations[Mode] = Evaluations(mode)
        self.reports: Reports[Mode] = Reports(mode)
        self.keys: Keys[Mode] = Keys(mode)
        self.usage: UsageCalls[Mode] = UsageCalls(mode)
        self.ops: Operations[Mode] = Operations(mode)
        self.service: Service[Mode] = Service(mode)

    def __repr__(self) -> str:
        """Name the service, never the key."""
        return f"<{type(self).__name__} of {self._sender.address.url}>"


class Client(_Groups[Blocking]):
    """Client of one service, which blocks the calling thread. Several threads may share it."""

    def __init__(
        self,
        address: str,
        api_key: str | None = None,
        *,
        timeout: float = TIMEOUT_SECONDS,
        retry: Retry = DEFAULT_RETRY,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Connect with the first call. `address` is such as `https://vibe8.example.org`; `/api/v1` is added.

        `timeout` is in seconds, for connecting (at most 10) and for each time that nothing arrives or can be sent. What
        the service answers may have `max_answer_bytes`. `transport` is for certificates and proxies of your own:
        `httpx.HTTPTransport(verify=...)`. Raises ValueError for an address or a key that cannot be one.
        """
        connection = BlockingConnection(transport)
        super().__init__(Blocking(_sender(connection, address, api_key, timeout, retry, max_answer_bytes)))

    def close(self) -> None:
        """Close the connections. A `with` block does so at its end."""
        run_blocking(self._sender.connection.close())

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()


class AsyncClient(_Groups[Asynchronous]):
    """Client of one service on asyncio."""

    def __init__(
        self,
        address: str,
        api_key: str | None = None,
        *,
        timeout: float = TIMEOUT_SECONDS,
        retry: Retry = DEFAULT_RETRY,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Connect with the first call. See `Client`; `transport` is such as `httpx.AsyncHTTPTransport(verify=...)`."""
        connection = AsyncConnection(transport)
        super().__init__(Asynchronous(_sender(connection, address, api_key, timeout, retry, max_answer_bytes)))

    async def aclose(self) -> None:
        """Close the connections. An `async with` block does so at its end."""
        await self._sender.connection.close()

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.aclose()


def _sender(
    connection: Connection, address: str, api_key: str | None, timeout: float, retry: Retry, max_answer_bytes: int
) -> Sender:
    if timeout <= 0 or max_answer_bytes <= 0:
        raise ValueError("timeout and max_answer_bytes must be above 0")
    limits = Limits(timeout=timeout, total_seconds=max(TOTAL_SECONDS, timeout), answer_bytes=max_answer_bytes)
    return Sender(connection, ServiceAddress.of(address, api_key), limits, retry)
