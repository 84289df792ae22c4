"""Hostile names and text are escaped in rows, logs, errors and on terminals."""

import asyncio
import io
import json
import math
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.dev import ConsoleRenderer
from structlog.processors import JSONRenderer

from domain.errors import InvalidInputError, PermanentError
from domain.jobs import JobStatus
from domain.runs import Run
from domain.sources import MAX_NAME_LENGTH, Authorship
from domain.text import safe_json
from infrastructure.child_process.wire_protocol import MessageKind, encode_message
from infrastructure.database.engine import _dumps
from infrastructure.observability.log_setup import _escape_values, _traceback
from infrastructure.sources.local.packing import pack_directory
from tests.fixtures.archives import ZipMember, build_zip
from tests.fixtures.checks.result_documents import CheckedClient
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.network.git_server import GitServer
from tests.fixtures.worker_process import System, until_finished
from tests.fuzz.generators import fuzz_settings
from tests.hostile.support.naughty_strings import TEXTS, assert_harmless, assert_safe_output, strings_in
from tests.integration.cli.command_support import run_on_terminal
from worker.client import Client, Completed

TERMINAL_CONTROLS = (b"\x1b]", b"\x1bP", b"\x1b[2J", b"\x1b[H", b"\x1b[?1049h", b"\x07", b"\x08", b"\xc2\x9b", b"\0")
"""Control sequences that the command itself never writes to a terminal."""

DOCUMENTS = ("metrics", "file_tree", "errors", "findings", "completeness", "tool_versions", "timings_ms")
COOKIES = (b"\x1b[31m", b"utf-7", b"unicode_escape", b"punycode", b"hex", b"idna", b"undefined")

SOURCE = '''"""{raw}"""
# {raw}
import os
import subprocess
import package_of_{number}

__all__ = [{quoted}]
password = {quoted}
text = "%(a)s" % {{"a": 1, {quoted}: 2}}
{{{quoted}: 1, {quoted}: 2}}


def unused_{number}(secret={quoted}):  # noqa: {raw}
    """{raw}"""
    subprocess.Popen({quoted}, shell=True)  # nosec {raw}
    os.system({quoted})
    return "{raw}" {{
'''


def encode_text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def file_names() -> Iterator[bytes]:
    for text in TEXTS:
        name = encode_text(text)
        if b"\0" not in name and b"/" not in name and 0 < len(name) < 200:
            yield name


def sources() -> Iterator[tuple[bytes, bytes]]:
    """Yield path and content of files whose names, or whose source code, contain each text; some do not parse."""
    for number, name in enumerate(file_names()):
        yield b"%d/%b/%b.py" % (number, name, name), b"x = 1\n"
    for number, text in enumerate(TEXTS):
        raw = text.replace("{", "(").replace("}", ")")
        source = SOURCE.format(raw=raw, quoted=ascii(text), number=number)
        yield b"text/%d.py" % number, encode_text(source)
        yield b"valid/%d.py" % number, encode_text(source.replace(raw, "") if raw else source).replace(b'"" {', b'""')
    yield (
        b"requirements.txt",
        b"\n".join(encode_text(text.replace("\n", " ")) + b"==" + encode_text(text) for text in TEXTS),
    )
    yield b"sub/requirements.txt", "\n".join(f"p{n} @ {text!a}" for n, text in enumerate(TEXTS)).encode()
    yield b"pyproject.toml", json.dumps({"project": list(TEXTS)}).encode()
    for number, cookie in enumerate(COOKIES):
        yield b"cookies/%d.py" % number, b"# coding: %b\nx = '\\ud800 +AGE-'\n" % cookie


@pytest.fixture(scope="module")
def hostile_tree(tmp_path_factory: pytest.TempPathFactory) -> WorkTree:
    """All hostile files committed on a branch with a hostile name; the second commit deletes some."""
    tree = WorkTree(tmp_path_factory.mktemp("hostile") / "tree\n\x1b[31mFORGED", branch="f\u202e\x9b31m\ufeff-x")
    for name, content in sources():
        tree.write(name, content)
    for name in file_names():
        tree.write(b"gone/" + name + b".py", b"y = 2\n")
    tree.commit("a \x1b[31mmessage")
    tree.git("rm", "-rq", "gone")
    tree.commit()
    return tree


def zip_of_sources() -> bytes:
    """Make an archive of all hostile files; names that are not UTF-8 are not flagged as UTF-8."""
    return build_zip(*(ZipMember(name=name, data=content, flags=0x800 * _is_utf8(name)) for name, content in sources()))


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


async def stored_run(system: System, run: Run) -> dict[str, Any]:
    """Read the run's row as another program would."""
    connection = await asyncpg.connect(system.environment["DATABASE_URL"])
    try:
        row = await connection.fetchrow("SELECT * FROM analysis_runs WHERE run_id = $1", run.run_id)
    finally:
        await connection.close()
    assert row is not None
    return {name: _load_json(value) if name in DOCUMENTS else str(value) for name, value in row.items()}


def _load_json(document: str) -> Any:
    return json.loads(document, parse_constant=pytest.fail)


@pytest.mark.settings(LOG_LEVEL="debug")
@pytest.mark.parametrize("way", ["repository", "archive", "packed"])
async def test_run_of_hostile_names_and_text_is_stored_safely(
    git_system: System, git_server: GitServer, hostile_tree: WorkTree, way: str
) -> None:
    async with CheckedClient.open(git_system.settings) as client, git_system.worker() as worker:
        user_id = await client.get_or_create_user("ann@example.org")
        if way == "repository":
            job = await client.submit_repository(user_id, url=git_server.add("owner/hostile", hostile_tree.dot_git))
        else:
            content = zip_of_sources() if way == "archive" else pack_directory(hostile_tree.path, with_history=True)
            name = "a\x1b[31m\u202e\nFORGED.zip"
            authorship = Authorship(project_name="\ud800\x00[red]", author_type="ai", author_model="\x1b[2J\nFORGED")
            job = await client.submit_upload(user_id, filename=name, content=content, authorship=authorship)
        ended = await until_finished(client, user_id, job.job_id)
        assert ended.status is JobStatus.COMPLETED, ended.error_message
        for command in ("jobs", "job"):
            shown = await git_system.run(
                command, *([job.job_id] if command == "job" else []), "--user", "ann@example.org"
            )
            assert shown.code == 0, shown.error
            assert_safe_output(shown.out + shown.error)
        taken = await client.take_result(user_id, job.job_id)
        assert isinstance(taken, Completed)
    row = await stored_run(git_system, taken.run)
    assert_harmless(row)
    files = taken.run.metrics["size"]["files"]
    assert files > 2 * len(TEXTS)
    assert_safe_output(worker.log_file.read_text())
    assert any("FORGED" in text for text in strings_in(row))


@pytest.mark.parametrize("place", ["pipe", "terminal"])
async def test_command_shows_no_control_sequence(system: System, hostile_tree: WorkTree, place: str) -> None:
    command = ["analyze", str(hostile_tree.path)]
    if place == "pipe":
        shown = await system.run(*command)
        assert shown.code == 0, shown.error
        assert_safe_output(shown.out + shown.error)
        return
    async with run_on_terminal(system, *command) as terminal:
        assert await terminal.wait() == 0, terminal.text
        assert_safe_output(terminal.text.replace("\r", "\n"))  # the progress bar itself uses carriage returns
        for acting in TERMINAL_CONTROLS:
            assert acting not in terminal.raw


FORGED_NAMES = (
    "a\nFORGED.py",
    "b\rFORGED.py",
    "c\x85FORGED.py",
    "d\u2028FORGED.py",
    "e\n\n\tFORGED/x.py",
    "f\x1b[1GFORGED.py",
)


@pytest.mark.parametrize("place", ["pipe", "terminal"])
async def test_file_name_cannot_add_an_output_line(system: System, tmp_path: Path, place: str) -> None:
    """The names appear among the worst files, the files that do not parse and the skipped files."""
    tree = tmp_path / "tree"
    for name in FORGED_NAMES:
        for path, content in ((name, "x = 1\n"), (f"broken-{name}", "def (:\n"), (f"big-{name}", "#" * 3_000_000)):
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(content)
    (tree / "link\nFORGED.py").symlink_to("nowhere")
    if place == "pipe":
        shown = await system.run("analyze", str(tree))
        assert_safe_output(shown.out + shown.error)
        assert "a\\nFORGED.py" in shown.out
        return
    async with run_on_terminal(system, "analyze", str(tree)) as terminal:
        assert await terminal.wait() == 0, terminal.text
        assert_safe_output(terminal.text.replace("\r", "\n"))  # the progress bar itself uses carriage returns


async def test_json_output_of_the_command_is_safe(system: System, hostile_tree: WorkTree) -> None:
    shown = await system.run("analyze", str(hostile_tree.path), "--json")
    assert shown.code == 0, shown.error
    assert_safe_output(shown.out)
    assert_harmless(shown.document)


# Text in the arguments of the client's calls

ANY = st.text(st.characters(exclude_categories=()), max_size=40) | st.sampled_from(TEXTS)


@pytest.fixture
def loop_and_client(system: System) -> Iterator[tuple[asyncio.Runner, Client]]:
    """Event loop and client that all examples share: Hypothesis calls plain functions."""
    settings = system.settings.model_copy(
        update={"max_concurrent_jobs_per_user": 10**6, "daily_job_limit_per_user": 10**6}
    )
    with asyncio.Runner() as runner:
        opened = CheckedClient.open(settings)
        yield runner, runner.run(opened.__aenter__())
        runner.run(opened.__aexit__(None, None, None))


@fuzz_settings(150)
@given(text=ANY, other=ANY)
def test_any_submitted_text_is_stored_safely_or_refused_in_one_line(
    loop_and_client: tuple[asyncio.Runner, Client], system: System, text: str, other: str
) -> None:
    loop, client = loop_and_client
    loop.run(submit_everywhere(client, system.environment["DATABASE_URL"], text, other))


async def submit_everywhere(client: Client, database_url: str, text: str, other: str) -> None:
    user_id = await client.get_or_create_user("ann@example.org")
    connection = await asyncpg.connect(database_url)
    try:
        for attempt in calls_with_text(client, user_id, text, other):
            try:
                await attempt
            except PermanentError as error:
                assert_one_short_line(str(error))
        for table in ("jobs", "users"):
            for row in await connection.fetch(f"SELECT to_jsonb(t) AS row FROM {table} AS t"):  # noqa: S608
                assert_harmless(json.loads(row["row"]))
        await connection.execute("DELETE FROM users")
    finally:
        await connection.close()


def assert_one_short_line(message: str) -> None:
    assert_harmless(message)
    assert len(message) < 600
    assert len(message.splitlines()) <= 1


def calls_with_text(client: Client, user_id: UUID, text: str, other: str) -> Iterator[Awaitable[Any]]:
    def upload(**more: Any) -> Awaitable[Any]:
        return client.submit_upload(user_id, **{"filename": "a.py", "content": b"x = 1\n", **more})

    async def authored(**words: str) -> None:
        await upload(authorship=Authorship(**words))

    url = "https://github.com/owner/repo"
    yield upload(filename=text)
    yield upload(filename=f"{text}.py")
    yield upload(filename=f"{text}.zip")
    yield upload(idempotency_key=text)
    yield authored(project_name=text, author_model=other)
    yield authored(author_type=text)
    yield client.submit_repository(user_id, url=url, branch=text)
    yield client.submit_repository(user_id, url=url, token=text)
    yield client.submit_repository(user_id, url=text)
    yield client.submit_repository(user_id, url=f"{url}/{text}")
    yield client.get_or_create_user(text)
    yield client.get_or_create_user(f"{text}@example.org", other)
    yield client.get_or_create_user(f"{other}@example.org", text)
    for call in (client.get_job, client.cancel_job, client.take_result, client.retry_job):
        yield call(user_id, text)


@pytest.mark.parametrize("name", ["project_name", "author_model", "filename"])
async def test_names_have_a_maximum_length(client: Client, user_id: UUID, name: str) -> None:
    async def submit(text: str) -> None:
        if name == "filename":
            await client.submit_upload(user_id, filename=text[:-3] + ".py", content=b"x = 1\n")
        else:
            await client.submit_upload(user_id, filename="a.py", content=b"x", authorship=Authorship(**{name: text}))

    await submit("x" * MAX_NAME_LENGTH)
    with pytest.raises(InvalidInputError, match=f"at most {MAX_NAME_LENGTH} characters"):
        await submit("x" * (MAX_NAME_LENGTH + 1))


NULL = '{"a":[null]}'


def test_numbers_that_are_not_finite_are_written_as_null_or_refused() -> None:
    for writer in (_dumps, lambda value: encode_message(MessageKind.RESULT, value)):
        for number in (math.nan, math.inf, -math.inf):
            assert writer({"a": [number]})[-len(NULL) :] in (NULL, NULL.encode())
            with pytest.raises(ValueError, match="not JSON compliant"):
                writer({"\ud800": [number]})  # the fast library cannot write this key, so the standard one is used


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("text", TEXTS)
def test_log_entry_is_one_safe_line(form: Literal["json", "console"], text: str) -> None:
    entry = _escape_values(None, "info", {"event": text, "name": text, "many": [text], "error": ValueError(text)})
    shown = (
        JSONRenderer()(None, "info", entry) if form == "json" else ConsoleRenderer(colors=False)(None, "info", entry)
    )
    assert_safe_output(str(shown))
    assert len(str(shown).splitlines()) == 1


@pytest.mark.parametrize("text", TEXTS)
def test_traceback_in_a_log_is_safe(text: str) -> None:
    out, error = io.StringIO(), ValueError(text)
    _traceback(out, (ValueError, error, error.__traceback__))
    assert_safe_output(out.getvalue())
    lines = out.getvalue().splitlines()
    assert len(lines) > 1
    assert all(line.startswith("  | ") for line in lines[1:])


@pytest.mark.parametrize(("text", "code"), [("\x00", "22P05"), ("\ud800", "22P02"), ("\udfff\ud800", "22P02")])
@pytest.mark.parametrize("place", ["value", "key"])
async def test_postgresql_refuses_text_that_safe_json_has_not_escaped(
    database_url: str, place: str, text: str, code: str
) -> None:
    document = {"a": text} if place == "value" else {text: 1}
    connection = await asyncpg.connect(database_url)
    try:
        with pytest.raises(asyncpg.PostgresError) as caught:
            await connection.fetchval("SELECT $1::text::jsonb", json.dumps(document))
        assert caught.value.sqlstate == code
        assert await connection.fetchval("SELECT $1::text::jsonb", json.dumps(safe_json(document)))
    finally:
        await connection.close()
