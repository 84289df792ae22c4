"""Passwords and keys of the settings are shown as stars, and appear in no error."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from cryptography.fernet import Fernet

from domain.errors import ServiceUnavailableError
from infrastructure.database.connecting import sqlalchemy_url
from infrastructure.settings import Settings
from tests.fixtures.command_server import ForkingSystem, with_forked_commands
from tests.fixtures.servers import Servers
from tests.fixtures.worker_process import System, new_system
from worker.client import Client

PASSWORD = "pa55 w/rd:@%"
ENCODED = quote(PASSWORD, safe="")
VISIBLE_FORMS = (PASSWORD, ENCODED, "pa55", "w/rd", "w%2Frd")
KEY = Fernet.generate_key().decode()
ALL_SECRETS = {
    "DATABASE_URL": f"postgresql://u:{ENCODED}@127.0.0.1:1/d",
    "REDIS_URL": f"redis://:{ENCODED}@127.0.0.1:1/0",
    "REDIS_HOST": "127.0.0.1",
    "REDIS_PASSWORD": PASSWORD,
    "TOKEN_ENCRYPTION_KEYS": f"{KEY},{KEY}",
    "WEBHOOK_SECRETS": f"whsec-{KEY},{KEY}",
    "PACKAGE_INDEX_URL": f"https://u:{ENCODED}@index.test/simple",
}


def assert_hidden(text: str) -> None:
    for secret in (*VISIBLE_FORMS, KEY):
        assert secret not in text, text


def secret_settings() -> Settings:
    return Settings(**{name.lower(): value for name, value in ALL_SECRETS.items()})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "show",
    [repr, str, "{}".format, Settings.model_dump_json, lambda settings: str(settings.model_dump()),
     lambda settings: json.dumps(settings.model_dump(mode="json")), lambda settings: repr(sqlalchemy_url(settings)),
     lambda settings: str(sqlalchemy_url(settings)), lambda settings: str(settings.redis_dsn()),
     lambda settings: str([getattr(settings, name) for name in type(settings).model_fields])],
)  # fmt: skip
def test_representations_of_settings_show_stars(show: Callable[[Settings], str]) -> None:
    shown = show(secret_settings())
    assert_hidden(shown)
    assert "***" in shown


def test_every_secret_setting_has_a_secret_type() -> None:
    """Covers settings with a secret name, and URLs, which may contain a password."""
    names = {name for name in Settings.model_fields if re.search("password|secret|_keys|url", name)}
    assert names == {name.lower() for name in ALL_SECRETS} - {"redis_host"}
    for name in names:
        assert "SecretStr" in repr(Settings.model_fields[name].annotation), name


INVALID: dict[str, dict[str, str]] = {
    "closed ports": {},
    "no such host": {"DATABASE_URL": f"postgresql://u:{ENCODED}@nowhere.invalid/d"},
    "no such Redis host": {"REDIS_URL": f"redis://:{ENCODED}@nowhere.invalid/0"},
    "no such socket": {"DATABASE_URL": f"postgresql://u:{ENCODED}@/d?host=/nowhere"},
    "bad port": {"DATABASE_URL": f"postgresql://u:{ENCODED}@h:port/d"},
    "bad scheme": {"DATABASE_URL": f"mysql://u:{ENCODED}@h/d", "REDIS_URL": f"http://:{ENCODED}@h/0"},
    "no database": {"DATABASE_URL": f"postgresql://u:{ENCODED}@h"},
    "not percent-encoded": {"DATABASE_URL": f"postgresql://u:{PASSWORD}@h/d", "REDIS_URL": f"redis://:{PASSWORD}@h/x"},
    "parameter": {"DATABASE_URL": f"postgresql://u@h/d?password={ENCODED}"},
    "bad keys": {"TOKEN_ENCRYPTION_KEYS": "pa55,pa55"},
    "Redis database": {"REDIS_URL": f"redis://:{ENCODED}@h/pa55"},
    "numbers": {"ARQ_MAX_JOBS": "pa55", "REDIS_PORT": "pa55", "LOG_LEVEL": "pa55"},
}


@pytest.mark.usefixtures("commands")
@pytest.mark.parametrize("invalid", INVALID)
async def test_error_of_a_command_contains_no_password(tmp_path: Path, invalid: str) -> None:
    system = ForkingSystem(
        environment={**ALL_SECRETS, **INVALID[invalid], "VIBE8_HOME": str(tmp_path)}, directory=tmp_path
    )
    commands = [
        ["jobs"],
        ["doctor", "--json"],
        ["worker"],
        *([["migrate"], ["cleanup"]] if not INVALID[invalid] else []),
    ]
    done = await asyncio.gather(
        *(
            system.run(*command, LOG_LEVEL=INVALID[invalid].get("LOG_LEVEL", "debug"), STARTUP_WAIT="0")
            for command in commands
        )
    )
    for command, finished in zip(commands, done, strict=True):
        assert finished.code in (1, 2, 3), (command, finished)
        assert finished.out + finished.error
        assert_hidden(finished.out + finished.error)


@pytest.fixture
async def locked_database(servers: Servers, database_url: str) -> AsyncIterator[str]:
    """URL of the test's database for a user with a password, with a wrong password in it."""
    connection = await asyncpg.connect(database_url)
    rules = servers.directory / "postgresql" / "pg_hba.conf"
    before = rules.read_text()
    try:
        await connection.execute("CREATE ROLE locked LOGIN PASSWORD 'the right one'")
        rules.write_text("local all locked scram-sha-256\n" + before)
        await connection.execute("SELECT pg_reload_conf()")
        yield database_url.replace("postgres@", f"locked:{ENCODED}@")
    finally:
        rules.write_text(before)
        await connection.execute("SELECT pg_reload_conf()")
        await connection.execute("DROP ROLE locked")
        await connection.close()


@pytest.mark.usefixtures("commands")
async def test_wrong_password_is_not_repeated(
    locked_database: str, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    systems: dict[str, System] = {
        "database": with_forked_commands(new_system(locked_database, redis_url, tmp_path)),
        "redis": with_forked_commands(
            new_system(database_url, f"redis://:{ENCODED}@{redis_url.partition('@')[2]}", tmp_path)
        ),
    }
    for which, system in systems.items():
        for command in (["jobs"], ["doctor"], ["worker"], *([["migrate"]] if which == "database" else [])):
            finished = await system.run(*command, LOG_LEVEL="debug", STARTUP_WAIT="0")
            works = which == "redis" and command == ["jobs"]  # this command uses only PostgreSQL
            assert finished.code == (0 if works else 3), finished
            assert_hidden(finished.out + finished.error)
        with pytest.raises(ServiceUnavailableError) as caught:
            await connect(system)
        shown: Any = caught.value
        while shown is not None:  # a log shows the causes as well
            assert_hidden(repr(shown) + str(shown))
            shown = shown.__cause__ or shown.__context__
    assert "password authentication failed" in (await systems["database"].run("jobs")).error


async def connect(system: System) -> None:
    async with Client.open(system.settings) as client:
        await client.get_or_create_user("ann@example.org")


FAILING_PROGRAM = """
import structlog
from infrastructure.observability.log_setup import configure_logging

def fail(token):
    raise KeyError("an error")

configure_logging("debug", "{form}")
try:
    fail("pa55")
except KeyError as error:
    structlog.get_logger().warning("it.failed", exc_info=error)
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_logged_traceback_shows_no_values_of_variables(form: str) -> None:
    code = FAILING_PROGRAM.format(form=form).replace('"pa55"', '"pa" + "55"')  # the source line may be shown
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert "KeyError" in done.stderr
    assert "Traceback" in done.stderr
    assert "pa55" not in done.stderr
