"""Client of a PEP 691 simple index: looks up the newest versions of packages over HTTP.

The index is not trusted: it may be slow, unreachable, wrong or hostile. A call returns within its timeout, in the worst
case without any version.
"""

import asyncio
import json
import re
import time
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pypi_simple import ACCEPT_JSON_ONLY, PYPI_SIMPLE_ENDPOINT, ProjectPage

CONCURRENT_REQUESTS = 16
CONCURRENT_PARSES = 2
"""Pages that are parsed at a time. Parsing needs much memory, and more threads would not make it faster."""

MAX_REDIRECTS = 3
MAX_PAGE_BYTES = 20 * 1024 * 1024
"""Largest page, in bytes after decompression."""

MAX_FILES = 100_000
"""Files that one page may list; the largest projects have about ten thousand."""

CACHE_SECONDS = 3600.0
MAX_CACHE_ENTRIES = 4096

_NAME_PATTERN = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE | re.ASCII)
_FILE_NAME_PATTERN = re.compile(r"(?:[A-Za-z0-9_.!+]*-){1,20}[A-Za-z0-9_.!+]*")
_MAX_NAME_LENGTH = 250
_REQUEST_HEADERS = {"Accept": ACCEPT_JSON_ONLY, "Accept-Encoding": "gzip", "User-Agent": "vibe8-worker"}


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
        base_url: str = PYPI_SIMPLE_ENDPOINT,
        *,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set the `base_url` of the index (empty: no look-ups) and the `timeout` of a whole call in seconds."""
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._clock = clock
        self._client: httpx.AsyncClient | None = None
        self._request_slots = asyncio.Semaphore(CONCURRENT_REQUESTS)
        self._parse_slots = asyncio.Semaphore(CONCURRENT_PARSES)
        self._cache: OrderedDict[str, tuple[float, str | None]] = OrderedDict()
        self._fetches: dict[str, _SharedFetch] = {}

    async def prepare(self) -> None:
        """Do nothing: importing this module has loaded everything."""

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
            async with self._request_slots:
                page = await self._download_page(name)
                version = None if page is None else await self._parse(name, page)
        except Exception:  # noqa: BLE001 - any failure means that there is no answer
            return {}
        self._write_cache(name, version)
        return {name: version}

    async def _parse(self, name: str, page: bytes) -> str | None:
        async with self._parse_slots:
            return await asyncio.to_thread(highest_stable_version, name, page)

    async def _download_page(self, name: str) -> bytes | None:
        """Download the project's page as JSON; None if there is no such project. Raises on any failure."""
        url = httpx.URL(f"{self._base_url}/{name}/")
        for _ in range(MAX_REDIRECTS + 1):
            async with self._http_client().stream("GET", url, headers=_REQUEST_HEADERS) as response:
                if response.status_code == httpx.codes.NOT_FOUND:
                    return None
                if not response.has_redirect_location:
                    return await _read_body(response)
                target = url.join(response.headers["Location"])
            if (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port):
                raise _LookupFailedError("redirected to another host")
            url = target.copy_with(userinfo=url.userinfo)
        raise _LookupFailedError("too many redirects")

    def _http_client(self) -> httpx.AsyncClient:
        if self._client is None:
            limits = httpx.Limits(max_connections=CONCURRENT_REQUESTS)
            self._client = httpx.AsyncClient(timeout=self._timeout, limits=limits)
        return self._client


def highest_stable_version(name: str, page: bytes) -> str | None:
    """Find the highest version of `name` on a PEP 691 page that is neither a pre-release nor yanked.

    `name` is normalized. A version is yanked if all its files are. Raises ValueError, LookupError or TypeError if the
    page is malformed.
    """
    document = json.loads(page)
    files, meta = document["files"], document["meta"]
    if not str(meta["api-version"]).startswith("1.") or len(files) > MAX_FILES:
        raise ValueError("unsupported API version, or too many files")
    reduced = {
        "name": name,
        "meta": {"api-version": "1.0"},
        "files": [_reduce_entry(file) for file in files if _has_safe_file_name(file)],
    }
    stable = [
        version
        for package in ProjectPage.from_json_data(reduced).packages
        if not package.is_yanked and canonicalize_name(package.project or "") == name
        for version in _parse_version(package.version)
        if not version.is_prerelease
    ]
    return str(max(stable)) if stable else None


def _parse_version(text: str | None) -> Sequence[Version]:
    try:
        return [Version(text or "")]
    except InvalidVersion:
        return []


def _has_safe_file_name(file: Any) -> bool:
    """Whether the file's name is short and simple enough for the library's regular expressions, which backtrack."""
    name = file.get("filename") if isinstance(file, dict) else None
    return isinstance(name, str) and len(name) <= _MAX_NAME_LENGTH and _FILE_NAME_PATTERN.fullmatch(name) is not None


def _reduce_entry(file: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keep the fields that are needed; a malformed value in another field must not make the whole page unusable."""
    yanked = file.get("yanked", False)
    return {"filename": file["filename"], "url": "", "hashes": {}, "yanked": isinstance(yanked, str) or bool(yanked)}


def _is_valid_name(package: str) -> bool:
    return len(package) <= _MAX_NAME_LENGTH and _NAME_PATTERN.fullmatch(package) is not None


async def _read_body(response: httpx.Response) -> bytes:
    """Read and decompress the body, up to its limit: a small compressed response may contain a huge page."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if response.status_code != httpx.codes.OK or "json" not in response.headers.get("Content-Type", ""):
        raise _LookupFailedError(f"status {response.status_code}")
    if encoding not in ("identity", "gzip"):
        raise _LookupFailedError(f"unsupported encoding {encoding}")
    body = bytearray()
    async for chunk in _decompress(response.aiter_raw(), is_gzip=encoding == "gzip"):
        body += chunk
        if len(body) > MAX_PAGE_BYTES:
            raise _LookupFailedError("too large")
    return bytes(body)


async def _decompress(chunks: AsyncIterator[bytes], *, is_gzip: bool) -> AsyncIterator[bytes]:
    inflate = zlib.decompressobj(wbits=31)
    async for chunk in chunks:
        yield inflate.decompress(chunk, MAX_PAGE_BYTES + 1) if is_gzip else chunk
    if is_gzip and not inflate.eof:
        raise _LookupFailedError("truncated")
