"""Invalid usage, sources and settings: one line that says what to do, exit code 2, and no need of any server."""

import os
import sys
from pathlib import Path

import pytest

from tests.fixtures.archives import make_zip
from tests.fixtures.worker_process import System
from tests.integration.cli.command_support import assert_error_line
from worker.cli import main

pytestmark = pytest.mark.settings(MAX_UPLOAD_MB="1")


@pytest.fixture(autouse=True)
def source_files(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("x = 1\n")
    (tmp_path / "notes.txt").write_text("x = 1\n")
    (tmp_path / "LOUD.PY").write_text("x = 1\n")
    (tmp_path / "large.py").write_bytes(b"#" * (1024 * 1024 + 1))
    (tmp_path / "broken.zip").write_bytes(b"no archive")
    (tmp_path / "without.zip").write_bytes(make_zip({"README": "x"}))
    (tmp_path / "empty").mkdir()
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "large.py").write_bytes(os.urandom(1536 * 1024))


USAGE = {
    ("bogus",): ("no such command 'bogus'", "vibe8 --help"),
    ("jub",): ("Did you mean", "vibe8 --help"),
    ("submit",): ("missing argument 'SOURCE'", "vibe8 submit --help"),
    ("submit", "x", "--bogus"): ("no such option: --bogus", "vibe8 submit --help"),
    ("submit", "x", "y"): ("unexpected extra argument", "vibe8 submit --help"),
    ("submit", "x", "--author-type", "robot"): ("--author-type", "'human', 'ai'", "vibe8 submit --help"),
    ("submit", "x", "--branch"): ("--branch", "vibe8 submit --help"),
    ("submit", "--from", "x", "y"): ("--from cannot be combined with SOURCE", "vibe8 submit --help"),
    ("analyze", "x", "--format", "pdf"): ("--format", "'sarif', 'sarif-full', 'gitlab'", "vibe8 analyze --help"),
    ("analyze", "x", "--format", "csv", "--json"): ("--json and --format are two forms of the result",),
    ("export", "9c41"): ("missing option '--format'", "vibe8 export --help"),
    ("export", "9c41", "--format", "csv", "--metric", "lint"): ("a metric can be chosen for a badge only",),
    ("job",): ("missing argument 'ID'", "vibe8 job --help"),
    ("jobs", "--status", "lost"): ("--status", "'pending', 'running', 'completed', 'failed'", "vibe8 jobs --help"),
    ("jobs", "--limit", "0"): ("--limit", "greater than or equal to 1", "vibe8 jobs --help"),
    ("jobs", "--limit", "many"): ("--limit", "vibe8 jobs --help"),
    ("jobs", "--since", "soon"): ("--since", "90s, 30m, 1h or 2d", "'soon'"),
    ("jobs", "--since", "-1h"): ("--since", "90s, 30m, 1h or 2d"),
    ("jobs", "--since", "5\n\x1b[31mh"): ("--since", "90s, 30m, 1h or 2d"),
}


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
async def test_invalid_usage_is_one_error_line(no_services: System, arguments: tuple[str, ...]) -> None:
    assert_error_line(await no_services.run(*arguments), 2, *USAGE[arguments])


SOURCES = {
    ("missing",): ("'missing'", "no directory, no file and no https:// URL"),
    ("missing\x1b[31m\nred.py",): ("no directory, no file and no https:// URL",),
    ("n" * 5000,): ("cannot be read: File name too long",),
    ("notes.txt",): ("'notes.txt'", "neither a .py nor a .zip"),
    ("LOUD.PY",): ("'LOUD.PY'", "neither a .py nor a .zip"),
    ("/dev/null",): ("no directory, no file and no https:// URL",),
    ("code.py", "--branch", "main"): ("--branch goes with a repository URL only",),
    ("project", "--branch", "main"): ("--branch goes with a repository URL only",),
    ("large.py",): ("large.py", "larger than 1 MB", "MAX_UPLOAD_MB"),
    ("http://github.com/owner/repo",): ("must start with https://",),
    ("ssh://git@github.com/owner/repo",): ("must start with https://",),
    ("git@github.com:owner/repo.git",): ("no https:// URL",),
    ("https://example.org/owner/repo",): ("'example.org' is not allowed", "github.com", "GIT_ALLOWED_HOSTS"),
    ("https://token@github.com/owner/repo",): ("must not contain a user name or token",),
    ("https://github.com/owner",): ("https://host/owner/repository",),
    ("https://github.com/owner/repo", "--branch", "-x"): ("is not a branch name",),
    ("https://github.com/owner/repo", "--branch", "a..b"): ("'a..b' is not a branch name",),
    ("empty",): ("no Python file",),
    ("",): ("SOURCE is empty", "`.` is this directory"),
    (" \n",): ("SOURCE is empty",),
}


@pytest.mark.parametrize("arguments", SOURCES, ids=lambda arguments: repr(" ".join(arguments)[:60]))
async def test_invalid_source_is_one_error_line(no_services: System, arguments: tuple[str, ...]) -> None:
    assert_error_line(await no_services.run("submit", *arguments, "--json"), 2, *SOURCES[arguments])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("analyze", "missing"), "no directory, no file and no https:// URL"),
        (("analyze", "empty"), "no Python file"),
        (("analyze", ""), "SOURCE is empty"),
        (("analyze", "large.py"), "larger than 1 MB (MAX_UPLOAD_MB)"),
        (("analyze", "https://example.org/owner/repo"), "not allowed"),
        (("analyze", "broken.zip"), "not a zip"),
        (("analyze", "without.zip"), "no Python file"),
        (("submit", "project"), "larger than 1 MB (MAX_UPLOAD_MB)"),
    ],
)
async def test_analyze_and_submit_report_the_same_errors(
    no_services: System, arguments: tuple[str, ...], words: str
) -> None:
    assert_error_line(await no_services.run(*arguments, "--json"), 2, words)


SETTINGS = {
    ("ARQ_MAX_JOBS", "x"): "ARQ_MAX_JOBS",
    ("DATABASE_URL", "nonsense-s3cret"): "postgresql://user:password@host:5432/database",
    ("DATABASE_URL", "mysql://u:s3cret@h/d"): "postgresql://",
    ("REDIS_URL", "nonsense-s3cret"): "redis://:password@host:6379/0",
}


@pytest.mark.parametrize("setting", SETTINGS, ids="=".join)
async def test_invalid_setting_is_named_without_its_value(no_services: System, setting: tuple[str, str]) -> None:
    name, value = setting
    both = {"DATABASE_URL": "postgresql://u:s3cret@h/d", "REDIS_URL": "redis://:s3cret@h/0", name: value}
    finished = await no_services.run("jobs", **both)
    assert_error_line(finished, 2, "settings: ", name, SETTINGS[setting])
    assert "s3cret" not in finished.error


@pytest.mark.parametrize("command", ["analyze", "submit", "migrate", "doctor", "worker", "up"])
async def test_every_command_validates_the_settings_first(no_services: System, command: str) -> None:
    source = ("code.py",) if command in ("analyze", "submit") else ()
    assert_error_line(await no_services.run(command, *source, ARQ_JOB_TIMEOUT="x"), 2, "settings: ARQ_JOB_TIMEOUT")


async def test_all_invalid_settings_are_named(no_services: System) -> None:
    finished = await no_services.run("jobs", ARQ_MAX_JOBS="x", DB_POOL_SIZE="-1", LOG_FORMAT="xml")
    assert_error_line(finished, 2, "ARQ_MAX_JOBS", "DB_POOL_SIZE", "LOG_FORMAT")


@pytest.mark.parametrize(("given", "code"), [({}, 3), ({"REDIS_URL": "redis://127.0.0.1:1/0"}, 2)])
async def test_a_misspelt_address_is_named_where_it_is_missing(
    no_services: System, given: dict[str, str], code: int
) -> None:
    finished = await no_services.run("jobs", DATABSE_URL="s3cret", **given)
    assert_error_line(finished, code, "not read: DATABSE_URL (did you mean DATABASE_URL?)")
    assert "s3cret" not in finished.error


async def test_doctor_checks_this_machine_and_its_settings_without_servers(no_services: System) -> None:
    finished = await no_services.run("doctor", "--json", DATABSE_URL="s3cret")
    checks = {check["name"]: check for check in finished.document}
    assert finished.code == 3
    assert checks["settings"]["found"] == "not read: DATABSE_URL (did you mean DATABASE_URL?)"
    assert {"scratch", "memory", "tokens"} <= set(checks)
    assert not checks["services"]["ok"]


@pytest.mark.parametrize("command", ["jobs", "migrate"])
async def test_redis_url_without_database_url_is_refused(no_services: System, command: str) -> None:
    finished = await no_services.run(command, REDIS_URL="redis://127.0.0.1:1/0")
    assert_error_line(finished, 2, "DATABASE_URL is not set")


def test_ctrl_c_while_the_command_starts_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "_run_any", interrupted)
    monkeypatch.setattr(sys, "argv", ["vibe8", "jobs"])
    with pytest.raises(SystemExit) as caught:
        main.main()
    assert caught.value.code == 130
    assert capsys.readouterr().err == "vibe8: interrupted\n"
