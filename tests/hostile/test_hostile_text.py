"""Names and text that act on whoever reads them: in rows, logs, errors and on terminals nothing of them acts."""

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
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.git_server import GitServer
from tests.fixtures.worker_process import System, until_finished
from tests.fuzz.generators import tried
from tests.hostile.support.naughty_strings import TEXTS, assert_harmless, assert_tame, strings_in
from tests.integration.cli.cli_support import on_terminal
from worker.client import Client, Completed

ACTING = (b"\x1b]", b"\x1bP", b"\x1b[2J", b"\x1b[H", b"\x1b[?1049h", b"\x07", b"\x08", b"\xc2\x9b", b"\0")
"""What the command itself never sends to a terminal."""

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


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def file_names() -> Iterator[bytes]:
    for text in TEXTS:
        name = encoded(text)
        if b"\0" not in name and b"/" not in name and 0 < len(name) < 200:
            yield name


def sources() -> Iterator[tuple[bytes, bytes]]:
    """One file for each text, in a directory of its name, and one with it as its text, whether or not that parses."""
    for number, name in enumerate(file_names()):
        yield b"%d/%b/%b.py" % (number, name, name), b"x = 1\n"
    for number, text in enumerate(TEXTS):
        raw = text.replace("{", "(").replace("}", ")")
        source = SOURCE.format(raw=raw, quoted=ascii(text), number=number)
        yield b"text/%d.py" % number, encoded(source)
        yield b"valid/%d.py" % number, encoded(source.replace(raw, "") if raw else source).replace(b'"" {', b'""')
    yield b"requirements.txt", b"\n".join(encoded(text.replace("\n", " ")) + b"==" + encoded(text) for text in TEXTS)
    yield b"sub/requirements.txt", "\n".join(f"p{n} @ {text!a}" for n, text in enumerate(TEXTS)).encode()
    yield b"pyproject.toml", json.dumps({"project": list(TEXTS)}).encode()
    for number, cookie in enumerate(COOKIES):
        yield b"cookies/%d.py" % number, b"# coding: %b\nx = '\\ud800 +AGE-'\n" % cookie


@pytest.fixture(scope="module")
def hostile_tree(tmp_path_factory: pytest.TempPathFactory) -> WorkTree:
    """All of it, committed on a branch of a hostile name; and some of it deleted since."""
    tree = WorkTree(tmp_path_factory.mktemp("hostile") / "tree\n\x1b[31mFORGED", branch="f\u202e\x9b31m\ufeff-x")
    for name, content in sources():
        tree.write(name, content)
    for name in file_names():
        tree.write(b"gone/" + name + b".py", b"y = 2\n")
    tree.commit("a \x1b[31mmessage")
    tree.git("rm", "-rq", "gone")
    tree.commit()
    return tree


def zipped() -> bytes:
    """Names that are no UTF-8 come without the flag that says so."""
    return build_zip(*(ZipMember(name=name, data=content, flags=0x800 * _is_utf8(name)) for name, content in sources()))


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


async def stored(system: System, run: Run) -> dict[str, Any]:
    """The run's row as another program reads it."""
    connection = await asyncpg.connect(system.environment["DATABASE_URL"])
    try:
        row = await connection.fetchrow("SELECT * FROM analysis_runs WHERE run_id = $1", run.run_id)
    finally:
        await connection.close()
    assert row is not None
    return {name: _decoded(value) if name in DOCUMENTS else str(value) for name, value in row.items()}


def _decoded(document: str) -> Any:
    return json.loads(document, parse_constant=pytest.fail)


@pytest.mark.settings(LOG_LEVEL="debug")
@pytest.mark.parametrize("way", ["repository", "archive", "packed"])
async def test_a_run_of_hostile_names_and_text_is_harmless(
    git_system: System, git_server: GitServer, hostile_tree: WorkTree, way: str
) -> None:
    async with Client.open(git_system.settings) as client, git_system.worker() as worker:
        user_id = await client.get_or_create_user("ann@example.org")
        if way == "repository":
            job = await client.submit_repository(user_id, url=git_server.add("owner/hostile", hostile_tree.dot_git))
        else:
            content = zipped() if way == "archive" else pack_directory(hostile_tree.path, with_history=True)
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
            assert_tame(shown.out + shown.error)
        taken = await client.take_result(user_id, job.job_id)
        assert isinstance(taken, Completed)
    row = await stored(git_system, taken.run)
    assert_harmless(row)
    files = taken.run.metrics["size"]["files"]
    assert files > 2 * len(TEXTS)
    assert_tame(worker.log_file.read_text())
    assert any("FORGED" in text for text in strings_in(row))


@pytest.mark.parametrize("place", ["pipe", "terminal"])
async def test_the_command_shows_nothing_that_acts(system: System, hostile_tree: WorkTree, place: str) -> None:
    command = ["analyze", str(hostile_tree.path)]
    if place == "pipe":
        shown = await system.run(*command)
        assert shown.code == 0, shown.error
        assert_tame(shown.out + shown.error)
        return
    async with on_terminal(system, *command) as terminal:
        assert await terminal.wait() == 0, terminal.text
        assert_tame(terminal.text.replace("\r", "\n"))  # the bar goes back itself
        for acting in ACTING:
            assert acting not in terminal.raw


FORGERS = (
    "a\nFORGED.py",
    "b\rFORGED.py",
    "c\x85FORGED.py",
    "d\u2028FORGED.py",
    "e\n\n\tFORGED/x.py",
    "f\x1b[1GFORGED.py",
)


@pytest.mark.parametrize("place", ["pipe", "terminal"])
async def test_no_file_s_name_makes_a_line_of_its_own(system: System, tmp_path: Path, place: str) -> None:
    """Among the worst files, among those that do not parse, and among those left out."""
    tree = tmp_path / "tree"
    for name in FORGERS:
        for path, content in ((name, "x = 1\n"), (f"broken-{name}", "def (:\n"), (f"big-{name}", "#" * 3_000_000)):
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(content)
    (tree / "link\nFORGED.py").symlink_to("nowhere")
    if place == "pipe":
        shown = await system.run("analyze", str(tree))
        assert_tame(shown.out + shown.error)
        assert "a\\nFORGED.py" in shown.out
        return
    async with on_terminal(system, "analyze", str(tree)) as terminal:
        assert await terminal.wait() == 0, terminal.text
        assert_tame(terminal.text.replace("\r", "\n"))  # the bar goes back itself


async def test_the_command_s_document_is_harmless(system: System, hostile_tree: WorkTree) -> None:
    shown = await system.run("analyze", str(hostile_tree.path), "--json")
    assert shown.code == 0, shown.error
    assert_tame(shown.out)
    assert_harmless(shown.document)


# What submitters say in so many words

ANY = st.text(st.characters(exclude_categories=()), max_size=40) | st.sampled_from(TEXTS)


@pytest.fixture
def runner(system: System) -> Iterator[tuple[asyncio.Runner, Client]]:
    """Hypothesis calls plain functions: a loop and a client that outlive them."""
    settings = system.settings.model_copy(
        update={"max_concurrent_jobs_per_user": 10**6, "daily_job_limit_per_user": 10**6}
    )
    with asyncio.Runner() as runner:
        opened = Client.open(settings)
        yield runner, runner.run(opened.__aenter__())
        runner.run(opened.__aexit__(None, None, None))


@tried(150)
@given(text=ANY, other=ANY)
def test_whatever_a_submitter_says_is_stored_harmless_or_refused_in_one_line(
    runner: tuple[asyncio.Runner, Client], system: System, text: str, other: str
) -> None:
    loop, client = runner
    loop.run(say(client, system.environment["DATABASE_URL"], text, other))


async def say(client: Client, database_url: str, text: str, other: str) -> None:
    user_id = await client.get_or_create_user("ann@example.org")
    connection = await asyncpg.connect(database_url)
    try:
        for attempt in ways_to_say(client, user_id, text, other):
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


def ways_to_say(client: Client, user_id: UUID, text: str, other: str) -> Iterator[Awaitable[Any]]:
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
async def test_names_have_a_length(client: Client, user_id: UUID, name: str) -> None:
    async def submit(text: str) -> None:
        if name == "filename":
            await client.submit_upload(user_id, filename=text[:-3] + ".py", content=b"x = 1\n")
        else:
            await client.submit_upload(user_id, filename="a.py", content=b"x", authorship=Authorship(**{name: text}))

    await submit("x" * MAX_NAME_LENGTH)
    with pytest.raises(InvalidInputError, match=f"at most {MAX_NAME_LENGTH} characters"):
        await submit("x" * (MAX_NAME_LENGTH + 1))


NULL = '{"a":[null]}'


def test_numbers_that_are_none_are_written_nowhere() -> None:
    for writer in (_dumps, lambda value: encode_message(MessageKind.RESULT, value)):
        for number in (math.nan, math.inf, -math.inf):
            assert writer({"a": [number]})[-len(NULL) :] in (NULL, NULL.encode())
            with pytest.raises(ValueError, match="not JSON compliant"):
                writer({"\ud800": [number]})  # what the fast library leaves to the standard one


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("text", TEXTS)
def test_a_log_entry_is_one_line_that_does_not_act(form: Literal["json", "console"], text: str) -> None:
    entry = _escape_values(None, "info", {"event": text, "name": text, "many": [text], "error": ValueError(text)})
    shown = (
        JSONRenderer()(None, "info", entry) if form == "json" else ConsoleRenderer(colors=False)(None, "info", entry)
    )
    assert_tame(str(shown))
    assert len(str(shown).splitlines()) == 1


@pytest.mark.parametrize("text", TEXTS)
def test_a_traceback_in_a_log_does_not_act(text: str) -> None:
    out, error = io.StringIO(), ValueError(text)
    _traceback(out, (ValueError, error, error.__traceback__))
    assert_tame(out.getvalue())
    assert all(line.startswith("  | ") for line in out.getvalue().splitlines()[1:])


@pytest.mark.parametrize(("text", "code"), [("\x00", "22P05"), ("\ud800", "22P02"), ("\udfff\ud800", "22P02")])
@pytest.mark.parametrize("place", ["value", "key"])
async def test_postgresql_refuses_what_is_not_made_harmless(
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
