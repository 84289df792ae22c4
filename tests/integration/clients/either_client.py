"""Both clients behind one interface, so that each test of the service runs in both modes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from vibe8 import AsyncClient, Client

BOTH = pytest.mark.parametrize("make", [Client, AsyncClient], ids=["blocking", "asynchronous"])


class Either:
    """A client whose calls are awaited. Calls of the blocking one run in a thread."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, group: str) -> Any:
        return _Group(getattr(self.client, group), blocking=isinstance(self.client, Client))


class _Group:
    def __init__(self, group: Any, *, blocking: bool) -> None:
        self._group, self._blocking = group, blocking

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._group, name)

        async def awaited(*arguments: Any, **named: Any) -> Any:
            if not self._blocking:
                return await call(*arguments, **named)
            return await asyncio.to_thread(call, *arguments, **named)

        def iterated(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
            found = call(*arguments, **named)
            return _in_thread(found) if self._blocking else found

        return iterated if name == "watch" or name.startswith("iterate") else awaited


async def _in_thread(items: Iterator[Any]) -> AsyncIterator[Any]:
    end = object()
    while (item := await asyncio.to_thread(next, items, end)) is not end:
        yield item


@asynccontextmanager
async def either(make: type[Client] | type[AsyncClient], address: str, key: str | None, **options: Any) -> Any:
    """Give a client of this type, which is closed at the end."""
    client = make(address, key, **options)
    if isinstance(client, AsyncClient):
        async with client:
            yield Either(client)
    else:
        with client:
            yield Either(client)
