"""The client of the package index against an index on loopback, which also fails in the ways of real ones."""

import asyncio
import gzip
import json
import ssl
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from domain.ports import PackageIndex
from infrastructure.outbound import package_index, package_page
from infrastructure.outbound.lazy_package_index import LazyPackageIndex
from infrastructure.outbound.package_index import SimplePackageIndex
from infrastructure.outbound.package_page import highest_stable_version
from infrastructure.outbound.package_versions import is_older
from infrastructure.settings import Settings

Handler = Callable[[asyncio.StreamWriter], Awaitable[None]]
JSON_TYPE = "application/vnd.pypi.simple.v1+json"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class LocalIndex:
    """Index on loopback. `pages` maps paths to handlers; `requests` and `headers` record the requests in order."""

    def __init__(self) -> None:
        self.pages: dict[str, Handler] = {}
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.closing = asyncio.Event()
        self.disconnected = asyncio.Event()
        self.readers: dict[asyncio.StreamWriter, asyncio.StreamReader] = {}
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/simple/"

    def add(self, name: str, *files: str | tuple[str, Any], **options: Any) -> None:
        self.pages[f"/simple/{name}/"] = answer(page(name, *files), **options)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.readers[writer] = reader
        try:
            while line := await reader.readline():
                path = line.decode().split()[1]
                self.requests.append(path)
                self.headers.append(await read_headers(reader))
                await self.pages.get(path, answer(b"no", status="404 Not Found"))(writer)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self.disconnected.set()
            writer.close()

    async def hang(self, writer: asyncio.StreamWriter) -> None:
        """Send nothing until the client disconnects."""
        await self.readers[writer].read()


async def read_headers(reader: asyncio.StreamReader) -> dict[str, str]:
    headers = {}
    while (line := (await reader.readline()).decode().strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return headers


def page(name: str, *files: str | tuple[str, Any]) -> bytes:
    listed: list[dict[str, Any]] = []
    for file in files:
        filename, yanked = (file, False) if isinstance(file, str) else file
        url = f"https://files.example/{filename}"
        listed.append({"filename": filename, "url": url, "hashes": {}, "yanked": yanked, "upload-time": None})
    return json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": listed}).encode()


def answer(body: bytes, *, status: str = "200 OK", content_type: str = JSON_TYPE, **headers: str) -> Handler:
    async def write(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    return write


def redirect(target: str) -> Handler:
    return answer(b"", status="301 Moved Permanently", Location=target)


@asynccontextmanager
async def running(tls: ssl.SSLContext | None = None) -> AsyncIterator[LocalIndex]:
    local = LocalIndex()
    server = await asyncio.start_server(local.serve, "127.0.0.1", 0, ssl=tls)
    local.port = server.sockets[0].getsockname()[1]
    try:
        async with asyncio.timeout(60):
            yield local
    finally:
        local.closing.set()
        server.close()


@pytest.fixture
async def local() -> AsyncIterator[LocalIndex]:
    async with running() as index:
        yield index


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def index(local: LocalIndex, clock: Clock) -> AsyncIterator[SimplePackageIndex]:
    built = SimplePackageIndex(local.url, timeout=30, clock=clock)
    yield built
    await built.aclose()


@asynccontextmanager
async def index_with_timeout(url: str, timeout: float = 0.5) -> AsyncIterator[SimplePackageIndex]:  # noqa: ASYNC109 - the index's
    built = SimplePackageIndex(url, timeout=timeout)
    yield built
    await built.aclose()


async def test_both_clients_implement_the_port() -> None:
    indexes: list[PackageIndex] = [SimplePackageIndex(""), LazyPackageIndex("")]
    for index in indexes:
        assert await index.latest_versions(["foo"]) == {"foo": None}


async def test_highest_version_is_returned(local: LocalIndex, index: SimplePackageIndex) -> None:
    local.add("foo", "foo-1.9.tar.gz", "foo-1.10-py3-none-any.whl", "foo-1.2.tar.gz")
    assert await index.latest_versions(["foo"]) == {"foo": "1.10"}
    assert local.headers[0]["accept"] == JSON_TYPE


async def test_names_are_normalized_in_requests_and_unchanged_in_answers(
    local: LocalIndex, index: SimplePackageIndex
) -> None:
    local.add("foo-bar", "foo_bar-1.0.tar.gz", "Foo.Bar-1.1.tar.gz")
    assert await index.latest_versions(["Foo.Bar", "foo_bar"]) == {"Foo.Bar": "1.1", "foo_bar": "1.1"}
    assert local.requests == ["/simple/foo-bar/"]


async def test_prereleases_and_yanked_versions_are_ignored(local: LocalIndex, index: SimplePackageIndex) -> None:
    local.add("pre", "pre-1.0.tar.gz", "pre-2.0rc1.tar.gz", "pre-2.0.dev3.tar.gz", "pre-1.0.post1.tar.gz")
    local.add("pulled", "pulled-1.0.tar.gz", ("pulled-2.0.tar.gz", "broken"), ("pulled-3.0.tar.gz", True))
    local.add("empty-reason", "empty_reason-1.0.tar.gz", ("empty_reason-2.0.tar.gz", ""))
    local.add("partly", "partly-1.0.tar.gz", ("partly-2.0.tar.gz", True), "partly-2.0-py3-none-any.whl")
    local.add("only-pre", "only_pre-1.0a1.tar.gz")
    local.add("none")
    assert await index.latest_versions(["pre", "pulled", "empty-reason", "partly", "only-pre", "none"]) == {
        "pre": "1.0.post1",
        "pulled": "1.0",
        "empty-reason": "1.0",
        "partly": "2.0",
        "only-pre": None,
        "none": None,
    }


async def test_missing_package_is_none_and_cached(local: LocalIndex, index: SimplePackageIndex) -> None:
    assert await index.latest_versions(["missing"]) == {"missing": None}
    assert await index.latest_versions(["missing"]) == {"missing": None}
    assert local.requests == ["/simple/missing/"]


async def test_invalid_names_are_not_requested(local: LocalIndex, index: SimplePackageIndex) -> None:
    names = ["../admin", "a/b", "a?b", "", "-", "a" * 300, "größe", "a\n"]
    assert await index.latest_versions(names) == dict.fromkeys(names)
    assert local.requests == []


async def test_empty_list_of_packages_is_answered(index: SimplePackageIndex) -> None:
    assert await index.latest_versions([]) == {}


async def test_empty_url_disables_look_ups() -> None:
    index = SimplePackageIndex("")
    assert await index.latest_versions(["foo"]) == {"foo": None}
    await index.aclose()


@pytest.mark.parametrize(
    "handler",
    [
        answer(b"", status="500 Internal Server Error"),
        answer(b"", status="403 Forbidden"),
        answer(b"not json"),
        answer(b"<html></html>", content_type="text/html"),
        answer(b"[]"),
        answer(b"{}"),
        answer(b'{"meta": {"api-version": "1.0"}, "files": 7}'),
        answer(b'{"meta": {"api-version": "2.0"}, "files": []}'),
        answer(b"[" * 100_000),
        answer(b"\xff\xfe"),
        answer(b"x", Content_Encoding="br"),
        answer(b"not gzip", Content_Encoding="gzip"),
        answer(gzip.compress(page("bad"))[:-12], Content_Encoding="gzip"),
        answer(b"", status="301 Moved Permanently", Location="http://["),
        answer(b"", status="301 Moved Permanently", Location="https://other.example/simple/bad/"),
        answer(b"", status="301 Moved Permanently", Location="/simple/bad/"),
    ],
)
async def test_unusable_answer_is_left_out_and_others_are_kept(
    local: LocalIndex, index: SimplePackageIndex, handler: Handler
) -> None:
    local.pages["/simple/bad/"] = handler
    local.add("good", "good-1.0.tar.gz")
    assert await index.latest_versions(["bad", "good"]) == {"good": "1.0"}


async def test_failure_is_not_cached(local: LocalIndex, index: SimplePackageIndex) -> None:
    local.pages["/simple/foo/"] = answer(b"", status="502 Bad Gateway")
    assert await index.latest_versions(["foo"]) == {}
    local.add("foo", "foo-1.0.tar.gz")
    assert await index.latest_versions(["foo"]) == {"foo": "1.0"}


async def send_garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00" * 100_000)
    writer.close()


async def close_early(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
    writer.close()


async def close_at_once(writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize("handler", [send_garbage, close_early, close_at_once])
async def test_broken_connection_is_left_out_and_others_are_kept(
    local: LocalIndex, index: SimplePackageIndex, handler: Handler
) -> None:
    local.pages["/simple/bad/"] = handler
    local.add("good", "good-1.0.tar.gz")
    assert await index.latest_versions(["bad", "good"]) == {"good": "1.0"}


async def test_redirect_within_the_host_is_followed(local: LocalIndex, index: SimplePackageIndex) -> None:
    local.pages["/simple/foo/"] = redirect("/elsewhere/foo")
    local.pages["/elsewhere/foo"] = redirect(f"http://127.0.0.1:{local.port}/third")
    local.pages["/third"] = answer(page("foo", "foo-1.0.tar.gz"))
    assert await index.latest_versions(["foo"]) == {"foo": "1.0"}


async def test_redirect_to_another_port_is_not_followed(local: LocalIndex, index: SimplePackageIndex) -> None:
    async with running() as other:
        other.add("foo", "foo-1.0.tar.gz")
        local.pages["/simple/foo/"] = redirect(f"{other.url}foo/")
        assert await index.latest_versions(["foo"]) == {}
        assert other.requests == []


async def test_compressed_page_is_read(local: LocalIndex, index: SimplePackageIndex) -> None:
    local.pages["/simple/foo/"] = answer(gzip.compress(page("foo", "foo-1.0.tar.gz")), Content_Encoding="gzip")
    assert await index.latest_versions(["foo"]) == {"foo": "1.0"}


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_page_over_the_size_limit_is_left_out(
    local: LocalIndex, index: SimplePackageIndex, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setattr(package_index, "MAX_PAGE_BYTES", 10_000)
    body = page("foo", "foo-1.0.tar.gz") + b" " * 10_000
    packed = gzip.compress(body) if encoding == "gzip" else body
    local.pages["/simple/foo/"] = answer(packed, Content_Encoding=encoding)
    local.pages["/simple/fits/"] = answer(page("fits", "fits-1.0.tar.gz") + b" " * 5_000)
    assert await index.latest_versions(["foo", "fits"]) == {"fits": "1.0"}


async def test_few_large_pages_are_in_memory_at_a_time(local: LocalIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    # The parser asks for twelve times a page's size and touches little of it, which would be counted here.
    monkeypatch.setattr(package_index, "highest_stable_version", lambda name, page: f"{name}: {len(page)}")
    packed = gzip.compress(page("foo", "foo-1.0.tar.gz") + b" " * 19_000_000, 1)
    for number in range(16):
        local.pages[f"/simple/foo{number}/"] = answer(packed, Content_Encoding="gzip")
    async with index_with_timeout(local.url, timeout=30) as index:
        await index.latest_versions(["none"])
        tracemalloc.start()
        try:
            answers = await index.latest_versions([f"foo{number}" for number in range(16)])
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert [int((answer or "").split(":")[1]) > 19_000_000 for answer in answers.values()] == [True] * 16
    assert peak < 5 * 19_000_000


async def test_hanging_index_costs_at_most_the_timeout(local: LocalIndex) -> None:
    local.pages["/simple/slow/"] = local.hang
    local.add("good", "good-1.0.tar.gz")
    async with index_with_timeout(local.url, timeout=4) as index:
        assert await index.latest_versions(["slow", "good"]) == {"good": "1.0"}
        await local.disconnected.wait()


async def test_endless_page_costs_at_most_the_timeout(local: LocalIndex) -> None:
    async def send_forever(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not local.closing.is_set():
            writer.write(b"1\r\n \r\n")
            await writer.drain()
            await asyncio.sleep(0)  # the client runs on the same event loop

    local.pages["/simple/slow/"] = send_forever
    async with index_with_timeout(local.url) as index:
        assert await index.latest_versions(["slow"]) == {}


async def test_more_hanging_packages_than_connections_are_left_out(local: LocalIndex) -> None:
    names = [f"p{number}" for number in range(100)]
    for name in names:
        local.pages[f"/simple/{name}/"] = local.hang
    async with index_with_timeout(local.url) as index:
        assert await index.latest_versions(names) == {}


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/simple", "not a url", "http://[", "ftp://127.0.0.1/", "http://index.invalid/simple/"]
)
async def test_unreachable_index_gives_no_answer(url: str) -> None:
    async with index_with_timeout(url) as index:
        assert await index.latest_versions(["foo"]) == {}


async def test_cancelled_call_closes_its_connection(local: LocalIndex, index: SimplePackageIndex) -> None:
    requested = asyncio.Event()

    async def handler(writer: asyncio.StreamWriter) -> None:
        requested.set()
        await local.hang(writer)

    local.pages["/simple/slow/"] = handler
    before = asyncio.all_tasks()
    call = asyncio.create_task(index.latest_versions(["slow"]))
    await requested.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await local.disconnected.wait()
    remaining = {task for task in asyncio.all_tasks() - before if "serve" not in str(task.get_coro())}
    assert remaining == set()


async def test_calls_at_the_same_time_share_a_request(local: LocalIndex, index: SimplePackageIndex) -> None:
    requested, released = asyncio.Event(), asyncio.Event()

    async def handler(writer: asyncio.StreamWriter) -> None:
        requested.set()
        await released.wait()
        await answer(page("foo", "foo-1.0.tar.gz"))(writer)

    local.pages["/simple/foo/"] = handler
    first, cancelled, last = (asyncio.create_task(index.latest_versions(["foo"])) for _ in range(3))
    await requested.wait()
    first.cancel()  # the call that started the request
    cancelled.cancel()
    await asyncio.wait([first, cancelled])
    late = asyncio.create_task(index.latest_versions(["foo", "none"]))
    while "/simple/none/" not in local.requests:
        await asyncio.sleep(0.01)
    released.set()
    assert await last == {"foo": "1.0"}
    assert await late == {"foo": "1.0", "none": None}
    assert local.requests == ["/simple/foo/", "/simple/none/"]


async def test_requests_are_concurrent_up_to_the_limit(local: LocalIndex, index: SimplePackageIndex) -> None:
    names = [f"p{number}" for number in range(40)]
    busy, peak, full = 0, 0, asyncio.Event()

    def waiting_handler(name: str) -> Handler:
        async def handler(writer: asyncio.StreamWriter) -> None:
            nonlocal busy, peak
            busy += 1
            peak = max(peak, busy)
            if busy == package_index.CONCURRENT_REQUESTS:
                full.set()
            await full.wait()
            busy -= 1
            await answer(page(name, f"{name}-1.0.tar.gz"))(writer)

        return handler

    for name in names:
        local.pages[f"/simple/{name}/"] = waiting_handler(name)
    assert await index.latest_versions(names) == dict.fromkeys(names, "1.0")
    assert peak == package_index.CONCURRENT_REQUESTS


async def test_answer_is_cached_for_an_hour(local: LocalIndex, index: SimplePackageIndex, clock: Clock) -> None:
    local.add("foo", "foo-1.0.tar.gz")
    await index.latest_versions(["foo"])
    local.add("foo", "foo-2.0.tar.gz")
    clock.now = package_index.CACHE_SECONDS - 1
    assert await index.latest_versions(["foo"]) == {"foo": "1.0"}
    clock.now = package_index.CACHE_SECONDS
    assert await index.latest_versions(["foo"]) == {"foo": "2.0"}
    assert len(local.requests) == 2


async def test_least_recently_used_answer_is_evicted(
    local: LocalIndex, index: SimplePackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_index, "MAX_CACHE_ENTRIES", 2)
    for name in ("a", "b", "a", "c", "a", "b"):
        await index.latest_versions([name])
    assert local.requests == ["/simple/a/", "/simple/b/", "/simple/c/", "/simple/b/"]


@pytest.fixture
def authority(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return context, tmp_path / "ca.pem"


async def test_certificate_authority_is_taken_from_the_environment(
    authority: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    context, bundle = authority
    async with running(context) as local:
        local.add("foo", "foo-1.0.tar.gz")
        url = local.url.replace("http:", "https:")
        for variable, expected in ((str(bundle), {"foo": "1.0"}), (None, {}), ("/nonexistent", {})):
            monkeypatch.delenv("SSL_CERT_DIR", raising=False)
            monkeypatch.delenv("SSL_CERT_FILE", raising=False)
            if variable:
                monkeypatch.setenv("SSL_CERT_FILE", variable)
            index = SimplePackageIndex(url, timeout=30)
            assert await index.latest_versions(["foo"]) == expected
            await index.aclose()


async def test_credentials_of_the_url_are_sent_to_its_host(local: LocalIndex) -> None:
    local.pages["/simple/foo/"] = redirect("/other")
    local.pages["/other"] = answer(page("foo", "foo-1.0.tar.gz"))
    async with index_with_timeout(local.url.replace("http://", "http://user:secret@"), timeout=30) as index:
        assert await index.latest_versions(["foo"]) == {"foo": "1.0"}
    assert [headers.get("authorization", "")[:6] for headers in local.headers] == ["Basic ", "Basic "]


async def test_client_can_be_closed_twice_and_used_again(local: LocalIndex) -> None:
    local.add("foo", "foo-1.0.tar.gz")
    index = SimplePackageIndex(local.url)
    await index.aclose()
    assert await index.latest_versions(["foo"]) == {"foo": "1.0"}
    await index.aclose()
    await index.aclose()


def test_default_url_is_that_of_the_library() -> None:
    assert Settings().package_index_url is None
    assert SimplePackageIndex()._base_url == PYPI_SIMPLE_ENDPOINT.rstrip("/")


LOADED_MODULES = """
import sys
from infrastructure.outbound.lazy_package_index import LazyPackageIndex
LazyPackageIndex(None)
print(*sys.modules)
"""


def test_unused_client_does_not_import_its_libraries() -> None:
    command = [sys.executable, "-c", LOADED_MODULES]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert "infrastructure.outbound.lazy_package_index" in loaded
    assert not {"httpx", "pypi_simple", "infrastructure.outbound.package_index"} & loaded


LOADED_BY_CLIENT = """
import sys
import infrastructure.outbound.package_index
print(*sys.modules)
"""


def test_client_imports_no_command_line_and_no_parser_of_html() -> None:
    command = [sys.executable, "-c", LOADED_BY_CLIENT]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert "httpx" in loaded
    assert not {"rich", "click", "pypi_simple", "requests", "bs4", "pydantic"} & loaded


async def test_concurrent_first_calls_make_one_client(local: LocalIndex) -> None:
    local.add("foo", "foo-1.0.tar.gz")
    index = LazyPackageIndex(local.url)
    clients = await asyncio.gather(*(index._load() for _ in range(3)))
    assert len(set(map(id, clients))) == 1
    await index.prepare()
    assert local.requests == []
    await index.aclose()


async def test_client_is_imported_at_the_first_look_up(local: LocalIndex) -> None:
    local.add("foo", "foo-1.0.tar.gz")
    unused, used = LazyPackageIndex(None), LazyPackageIndex(local.url)
    assert await used.latest_versions(["foo"]) == {"foo": "1.0"}
    await used.aclose()
    await unused.aclose()


def test_files_of_other_projects_and_odd_names_are_ignored() -> None:
    files = ["foo-1.0.tar.gz", "foo_bar-9.0.tar.gz", "foo-latest.tar.gz", "-" * 200 + ".whl", "foo-8.0" + "-" * 30, "x"]
    assert highest_stable_version("foo", page("foo", *files)) == "1.0"


def test_malformed_file_entries_are_ignored() -> None:
    document = json.loads(page("foo", "foo-1.0.tar.gz"))
    document["files"] += [7, {}, {"filename": None}, {"filename": "foo-2.0.tar.gz", "hashes": "odd"}]
    assert highest_stable_version("foo", json.dumps(document).encode()) == "2.0"


def test_version_is_normalized() -> None:
    assert highest_stable_version("foo", page("foo", "foo-01.0.0-py3-none-any.whl")) == "1.0.0"


def test_page_with_too_many_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_page, "MAX_FILES", 1)
    with pytest.raises(ValueError, match="too many files"):
        highest_stable_version("foo", page("foo", "foo-1.0.tar.gz", "foo-2.0.tar.gz"))


@pytest.mark.parametrize(
    ("current", "latest", "expected"),
    [
        ("1.9", "1.10", True),
        ("1.0", "1.0.0", False),
        ("2.0", "1.0", False),
        ("1.0rc1", "1.0", True),
        ("1.0+local", "1.0", False),
        ("odd", "1.0", None),
        ("1.0", "", None),
    ],
)
def test_versions_are_compared_by_pep_440(current: str, latest: str, expected: bool | None) -> None:
    assert is_older(current, latest) is expected
