"""Client of a PEP 691 simple index: looks up the newest versions of packages over HTTP.

The index is not trusted: it may be slow, unreachable, wrong or hostile. A call returns within its timeout, in the worst
case without any version.
"""

import asyncio
import re
import sys
import time
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from infrastructure.outbound.package_page import highest_stable_version
from infrastructure.outbound.pypi_simple_parts import default_endpoint

# httpx imports its own command line, with all of rich and click, unless that is missing.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
import httpx  # noqa: E402

CONCURRENT_REQUESTS = 16
CONCURRENT_PARSES = 1
"""Pages that are parsed at a time. Parsing needs much memory, and more threads would not make it faster."""

SMALL_PAGE_BYTES = 1024 * 1024
LARGE_PAGES = 2
"""Pages over SMALL_PAGE_BYTES that are in memory at a time; the others wait where they are."""

MAX_REDIRECTS = 3
MAX_PAGE_BYTES = 20 * 1024 * 1024
"""Largest page, in bytes after decompression."""

CACHE_SECONDS = 3600.0
MAX_CACHE_ENTRIES = 4096

_NAME_PATTERN = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE | re.ASCII)
_MAX_NAME_LENGTH = 250
_PIECE_BYTES = 64 * 1024
_REQUEST_HEADERS = {
    "Accept": "application/vnd.pypi.simple.v1+json",
    "Accept-Encoding": "gzip",
    "User-Agent": "vibe8-worker",
}


class _LookupFailedError(Exception):
    """The index gave no usable answer for a package."""


@dataclass(slots=True)
class _SharedFetch:
    """A request under way, and the number of calls that wait for its answer."""

    task: asyncio.Task[Mapping[str, str | None]]
    waiting: int = 0


class SimplePackageIndex:
    """Implementation of `domain.ports.PackageIndex`. Use it on one event loop, and close it at the end.

    Answers are cached for an hour, including the answer that there is no such package. Failures are not cached. Calls
    that ask for the same package at the same time share one request.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set the `base_url` of the index and the `timeout` of a whole call in seconds.

        None is the default of the `pypi-simple` library. With an empty URL nothing is looked up.
        """
        self._base_url = (default_endpoint() if base_url is None else base_url).rstrip("/")
        self._timeout = timeout
        self._clock = clock
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._request_slots = asyncio.Semaphore(CONCURRENT_REQUESTS)
        self._large_slots = asyncio.Semaphore(LARGE_PAGES)
        self._parse_slots = asyncio.Semaphore(CONCURRENT_PARSES)
        self._cache: OrderedDict[str, tuple[float, str | None]] = OrderedDict()
        self._fetches: dict[str, _SharedFetch] = {}

    async def prepare(self) -> None:
        """Make the HTTP client. Importing this module has loaded everything else."""
        if self._base_url:
            await self._http_client()

    async def latest_versions(self, packages: Sequence[str]) -> Mapping[str, str | None]:
        """Look up each package's highest version that is neither a pre-release nor yanked (PEP 440).

        Returns package to normalized version. The version is None if the index has no such package or version, and for
        all packages if look-ups are switched off. Packages without an answer within the timeout are left out. Never
        raises.
        """
        if not self._base_url:
            return dict.fromkeys(packages)
        names = {package: str(canonicalize_name(package)) for package in packages if _is_valid_name(package)}
        answers: dict[str, str | None] = {}
        uncached = [name for name in dict.fromkeys(names.values()) if not self._read_cache(name, answers)]
        await self._fetch_all(uncached, answers)
        answered = {package: answers[name] for package, name in names.items() if name in answers}
        return {**dict.fromkeys(package for package in packages if package not in names), **answered}

    async def aclose(self) -> None:
        """Close all connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _read_cache(self, name: str, answers: dict[str, str | None]) -> bool:
        """Add the cached answer, if there is a valid one. Returns whether there is."""
        expires, version = self._cache.get(name, (0.0, None))
        if name not in self._cache or expires <= self._clock():
            return False
        self._cache.move_to_end(name)
        answers[name] = version
        return True

    def _write_cache(self, name: str, version: str | None) -> None:
        self._cache[name] = self._clock() + CACHE_SECONDS, version
        self._cache.move_to_end(name)
        while len(self._cache) > MAX_CACHE_ENTRIES:
            self._cache.popitem(last=False)

    async def _fetch_all(self, names: Sequence[str], answers: dict[str, str | None]) -> None:
        """Add the versions that arrive within the timeout to `answers`, and cancel the other requests."""
        if not names:
            return
        close_timeout = min(0.5, self._timeout / 10)
        tasks = [asyncio.create_task(self._join_fetch(name, answers)) for name in names]
        try:
            await asyncio.wait(tasks, timeout=self._timeout - close_timeout)
        finally:
            for task in tasks:
                task.cancel()
            # Closing the connections may hang as well.
            await asyncio.wait(tasks, timeout=close_timeout)

    async def _join_fetch(self, name: str, answers: dict[str, str | None]) -> None:
        """Wait for the request for this package, after starting it if none is under way.

        The last call that stops waiting cancels the request, and waits until its connection is closed.
        """
        fetch = self._fetches.get(name)
        if fetch is None:
            fetch = self._fetches[name] = _SharedFetch(asyncio.create_task(self._fetch(name)))
        fetch.waiting += 1
        try:
            answers.update(await asyncio.shield(fetch.task))
        finally:
            fetch.waiting -= 1
            if not fetch.waiting:
                del self._fetches[name]
                fetch.task.cancel()
                await asyncio.wait([fetch.task])

    async def _fetch(self, name: str) -> Mapping[str, str | None]:
        """Return the answer by name; nothing where there is none."""
        try:
            async with self._request_slots, AsyncExitStack() as stack:
                page = await self._download_page(name, lambda: stack.enter_async_context(self._large_slots))
                version = None if page is None else await self._parse(name, page)
        except Exception:  # noqa: BLE001 - any failure means that there is no answer
            return {}
        self._write_cache(name, version)
        return {name: version}

    async def _parse(self, name: str, page: bytes) -> str | None:
        async with self._parse_slots:
            return await asyncio.to_thread(highest_stable_version, name, page)

    async def _download_page(self, name: str, on_large: Callable[[], Awaitable[None]]) -> bytes | None:
        """Download the project's page as JSON; None if there is no such project. Raises on any failure.

        `on_large` is called, and may wait, when the page turns out to be larger than SMALL_PAGE_BYTES.
        """
        client = await self._http_client()
        url = httpx.URL(f"{self._base_url}/{name}/")
        for _ in range(MAX_REDIRECTS + 1):
            async with client.stream("GET", url, headers=_REQUEST_HEADERS) as response:
                if response.status_code == httpx.codes.NOT_FOUND:
                    return None
                if not response.has_redirect_location:
                    return await _read_body(response, on_large)
                target = url.join(response.headers["Location"])
            if (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port):
                raise _LookupFailedError("redirected to another host")
            url = target.copy_with(userinfo=url.userinfo)
        raise _LookupFailedError("too many redirects")

    async def _http_client(self) -> httpx.AsyncClient:
        """Return the HTTP client. It is made when first needed, in a thread, because loading certificates is slow."""
        async with self._opening:  # many first requests at once load the certificates once
            if self._client is None:
                self._client = await asyncio.to_thread(self._new_client)
            return self._client

    def _new_client(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=CONCURRENT_REQUESTS)
        return httpx.AsyncClient(timeout=self._timeout, limits=limits)


def _is_valid_name(package: str) -> bool:
    return len(package) <= _MAX_NAME_LENGTH and _NAME_PATTERN.fullmatch(package) is not None


async def _read_body(response: httpx.Response, on_large: Callable[[], Awaitable[None]]) -> bytes:
    """Read and decompress the body, up to its limit: a small compressed response may contain a huge page."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if response.status_code != httpx.codes.OK or "json" not in response.headers.get("Content-Type", ""):
        raise _LookupFailedError(f"status {response.status_code}")
    if encoding not in ("identity", "gzip"):
        raise _LookupFailedError(f"unsupported encoding {encoding}")
    pieces: list[bytes] = []
    size, is_large = 0, False
    async for piece in _decompress(response.aiter_raw(), is_gzip=encoding == "gzip"):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_PAGE_BYTES:
            raise _LookupFailedError("too large")
        if size > SMALL_PAGE_BYTES and not is_large:
            is_large = True
            await on_large()
    return b"".join(pieces)


async def _decompress(chunks: AsyncIterator[bytes], *, is_gzip: bool) -> AsyncIterator[bytes]:
    inflate = zlib.decompressobj(wbits=31)
    async for chunk in chunks:
        rest = chunk
        while is_gzip and not inflate.eof:
            piece = inflate.decompress(rest, _PIECE_BYTES)
            yield piece
            rest = inflate.unconsumed_tail
            if not rest and len(piece) < _PIECE_BYTES:
                break
        if not is_gzip:
            yield chunk
    if is_gzip and not inflate.eof:
        raise _LookupFailedError("truncated")
