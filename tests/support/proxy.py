"""A cable that a test can pull: forwards TCP connections to a server, and can refuse or freeze them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Cable:
    """Listens on a loopback port; `cut` drops every connection and refuses new ones until `mend`."""

    def __init__(self, target: tuple[str, int] | str) -> None:
        """`target` is (host, port), or a Unix socket's path."""
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        self._server = None

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if isinstance(self._target, str):
                there_reader, there_writer = await asyncio.open_unix_connection(self._target)
            else:
                there_reader, there_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, there_writer}
        self._writers |= both
        try:
            await asyncio.gather(_copy(reader, there_writer), _copy(there_reader, writer))
        finally:
            self._writers -= both
            for one in both:
                one.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@asynccontextmanager
async def cable(target: tuple[str, int] | str) -> AsyncIterator[Cable]:
    plugged = Cable(target)
    await plugged.mend()
    try:
        yield plugged
    finally:
        if plugged._server is not None:
            await plugged.cut()
