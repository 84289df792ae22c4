"""A PEP 691 simple index over HTTP: what the newest version of a package is.

The index may be slow, silent, wrong or hostile; whoever asks gets an answer in time, and at worst an empty one.
"""

import asyncio
import json
import re
import time
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import httpx
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pypi_simple import ACCEPT_JSON_ONLY, PYPI_SIMPLE_ENDPOINT, ProjectPage

CONCURRENT_REQUESTS = 16
CONCURRENT_PAGES = 2
"""Pages taken apart at once: it takes memory, and no longer one after the other."""

REDIRECTS_LIMIT = 3
PAGE_BYTES = 20 * 1024 * 1024
"""A page may not be larger, compressed or not."""

FILES_LIMIT = 100_000
"""Files on one page; the largest projects have some ten thousand."""

CACHE_SECONDS = 3600.0
CACHE_ENTRIES = 4096

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE | re.ASCII)
_FILENAME = re.compile(r"(?:[A-Za-z0-9_.!+]*-){1,20}[A-Za-z0-9_.!+]*")
_LONGEST_NAME = 250
_HEADERS = {"Accept": ACCEPT_JSON_ONLY, "Accept-Encoding": "gzip", "User-Agent": "vibe8-worker"}


class _NoAnswerError(Exception):
    """The index did not say what was asked."""


class SimplePackageIndex:
    """Implements `domain.ports.PackageIndex`. For one event loop; close it in the end.

    An answer, also that there is no such package, is kept for an hour; no answer is not kept.
    """

    def __init__(
        self,
        base_url: str = PYPI_SIMPLE_ENDPOINT,
        *,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`base_url` of the index (empty: nothing is looked up); `timeout` in seconds for a whole call."""
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._clock = clock
        self._client: httpx.AsyncClient | None = None
        self._slots = asyncio.Semaphore(CONCURRENT_REQUESTS)
        self._readers = asyncio.Semaphore(CONCURRENT_PAGES)
        self._cache: OrderedDict[str, tuple[float, str | None]] = OrderedDict()

    async def latest_versions(self, packages: Sequence[str]) -> Mapping[str, str | None]:
        """Package to its highest version that is neither a pre-release nor yanked (PEP 440), in its normal form.

        None where the index knows no such package or version, and for all when look-ups are switched off. A package
        for which there was no answer in time is left out. Never raises; never takes longer than the timeout.
        """
        if not self._base_url:
            return dict.fromkeys(packages)
        names = {package: str(canonicalize_name(package)) for package in packages if _can_be_looked_up(package)}
        answers: dict[str, str | None] = {}
        unknown = [name for name in dict.fromkeys(names.values()) if not self._recall(name, answers)]
        await self._ask_all(unknown, answers)
        asked = {package: answers[name] for package, name in names.items() if name in answers}
        return {**dict.fromkeys(package for package in packages if package not in names), **asked}

    async def aclose(self) -> None:
        """Close all connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _recall(self, name: str, answers: dict[str, str | None]) -> bool:
        expires, version = self._cache.get(name, (0.0, None))
        if name not in self._cache or expires <= self._clock():
            return False
        self._cache.move_to_end(name)
        answers[name] = version
        return True

    def _remember(self, name: str, version: str | None) -> None:
        self._cache[name] = self._clock() + CACHE_SECONDS, version
        self._cache.move_to_end(name)
        while len(self._cache) > CACHE_ENTRIES:
            self._cache.popitem(last=False)

    async def _ask_all(self, names: Sequence[str], answers: dict[str, str | None]) -> None:
        """Add what is answered in time to `answers`, and leave nothing running."""
        if not names:
            return
        closing = min(0.5, self._timeout / 10)
        tasks = [asyncio.create_task(self._ask(name, answers)) for name in names]
        try:
            await asyncio.wait(tasks, timeout=self._timeout - closing)
        finally:
            for task in tasks:
                task.cancel()
            # Closing a connection may take its time too.
            await asyncio.wait(tasks, timeout=closing)

    async def _ask(self, name: str, answers: dict[str, str | None]) -> None:
        try:
            async with self._slots:
                page = await self._page(name)
                version = None if page is None else await self._read(name, page)
        except Exception:  # noqa: BLE001 - whatever it was, there is no answer
            return
        self._remember(name, version)
        answers[name] = version

    async def _read(self, name: str, page: bytes) -> str | None:
        async with self._readers:
            return await asyncio.to_thread(highest_stable_version, name, page)

    async def _page(self, name: str) -> bytes | None:
        """The project's page as JSON; None where there is no such project. Raises whatever went wrong."""
        url = httpx.URL(f"{self._base_url}/{name}/")
        for _ in range(REDIRECTS_LIMIT + 1):
            async with self._connected().stream("GET", url, headers=_HEADERS) as response:
                if response.status_code == httpx.codes.NOT_FOUND:
                    return None
                if not response.has_redirect_location:
                    return await _body(response)
                target = url.join(response.headers["Location"])
            if (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port):
                raise _NoAnswerError("redirected to another host")
            url = target.copy_with(userinfo=url.userinfo)
        raise _NoAnswerError("redirected too often")

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            limits = httpx.Limits(max_connections=CONCURRENT_REQUESTS)
            self._client = httpx.AsyncClient(timeout=self._timeout, limits=limits)
        return self._client


def highest_stable_version(name: str, page: bytes) -> str | None:
    """The highest version of the normalised `name` on a PEP 691 page that is neither a pre-release nor yanked.

    A version counts as yanked when all its files are. Raises ValueError (or a kind of it) where it is no such page.
    """
    document = json.loads(page)
    files, meta = document["files"], document["meta"]
    if not str(meta["api-version"]).startswith("1.") or len(files) > FILES_LIMIT:
        raise ValueError("not a page of version 1")
    plain = {
        "name": name,
        "meta": {"api-version": "1.0"},
        "files": [_plain(file) for file in files if _plausible(file)],
    }
    found = [
        version
        for package in ProjectPage.from_json_data(plain).packages
        if not package.is_yanked and canonicalize_name(package.project or "") == name
        for version in _versions(package.version)
        if not version.is_prerelease
    ]
    return str(max(found)) if found else None


def _versions(text: str | None) -> Sequence[Version]:
    try:
        return [Version(text or "")]
    except InvalidVersion:
        return []


def _plausible(file: Any) -> bool:
    """Whether the library's patterns, which go back and forth over dashes, may be let loose on the file's name."""
    name = file.get("filename") if isinstance(file, dict) else None
    return isinstance(name, str) and len(name) <= _LONGEST_NAME and _FILENAME.fullmatch(name) is not None


def _plain(file: Mapping[str, Any]) -> Mapping[str, Any]:
    """What counts here; an oddity in any other field is no reason to know nothing."""
    yanked = file.get("yanked", False)
    return {"filename": file["filename"], "url": "", "hashes": {}, "yanked": isinstance(yanked, str) or bool(yanked)}


def _can_be_looked_up(package: str) -> bool:
    return len(package) <= _LONGEST_NAME and _NAME.fullmatch(package) is not None


async def _body(response: httpx.Response) -> bytes:
    """The whole body, decompressed within its limit: a small answer may be a huge page."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if response.status_code != httpx.codes.OK or "json" not in response.headers.get("Content-Type", ""):
        raise _NoAnswerError(f"status {response.status_code}")
    if encoding not in ("identity", "gzip"):
        raise _NoAnswerError(f"encoded as {encoding}")
    body = bytearray()
    async for chunk in _decoded(response.aiter_raw(), is_gzip=encoding == "gzip"):
        body += chunk
        if len(body) > PAGE_BYTES:
            raise _NoAnswerError("too large")
    return bytes(body)


async def _decoded(chunks: AsyncIterator[bytes], *, is_gzip: bool) -> AsyncIterator[bytes]:
    inflate = zlib.decompressobj(wbits=31)
    async for chunk in chunks:
        yield inflate.decompress(chunk, PAGE_BYTES + 1) if is_gzip else chunk
    if is_gzip and not inflate.eof:
        raise _NoAnswerError("cut short")
