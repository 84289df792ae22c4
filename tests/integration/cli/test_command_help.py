"""`--help`, `--version` and the start-up time of the command."""

import subprocess
import sys

import pytest
from typer.main import get_command

from tests.fixtures.worker_process import System
from worker.cli.app import app

COMMANDS = (
    "up", "worker", "migrate", "analyze", "submit", "jobs", "job", "result", "runs", "run", "findings", "compare",
    "trend", "export", "cancel", "retry", "cleanup", "doctor",
)  # fmt: skip
ALL = tuple(get_command(app).commands)  # type: ignore[attr-defined]
SLOW_MODULES = (
    "alembic", "arq", "asyncio", "cryptography", "httpx", "radon", "redis", "rich", "sqlalchemy", "structlog",
)  # fmt: skip


async def test_help_lists_every_command_and_the_first_steps(no_services: System) -> None:
    finished = await no_services.run("--help")
    assert (finished.code, finished.error) == (0, "")
    listed = [line.split()[0] for line in finished.out.splitlines() if line.startswith("  ") and line.split()]
    assert set(COMMANDS) <= set(ALL) <= set(listed)
    assert "vibe8 analyze ." in finished.out
    assert "docs/configuration.md" in finished.out
    assert (
        "Exit codes: 0 done, 1 the job failed, 2 bad usage or input, 3 a service cannot be reached, "
        "4 rejected by the gate, 130 interrupted" in finished.out.replace("\n", " ")
    )


@pytest.mark.parametrize("command", ALL)
async def test_help_of_each_command_has_an_example_and_fits_80_columns(no_services: System, command: str) -> None:
    finished = await no_services.run(command, "--help")
    assert (finished.code, finished.error) == (0, "")
    assert finished.out.startswith(f"Usage: vibe8 {command}")
    _, _, examples = finished.out.partition("Examples:\n")
    assert f"vibe8 {command}" in examples
    lines = finished.out.splitlines()
    assert max(len(line) for line in lines) <= 80
    options = [line for line in lines if line.strip().startswith("--")]
    assert options
    assert all(len(line.split("  ")) > 2 for line in options), options  # each has a description


async def test_no_command_prints_help_and_exits_with_2(no_services: System) -> None:
    finished = await no_services.run()
    assert (finished.code, finished.out) == (2, "")
    assert "Start here:" in finished.error


async def test_version_option(no_services: System) -> None:
    finished = await no_services.run("--version")
    assert (finished.code, finished.error) == (0, "")
    assert finished.out.startswith("vibe8 0.")


LOADED = f"""
import sys
from worker.cli.main import main
try:
    main()
except SystemExit:
    print("loaded:", *sorted(set({SLOW_MODULES!r}) & set(sys.modules)))
"""


@pytest.mark.parametrize("arguments", [("--help",), ("submit", "--help"), ("submit", "x", "--bogus")])
def test_help_and_usage_errors_import_no_slow_module(no_services: System, arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", LOADED, *arguments]
    out = subprocess.run(
        command, env=no_services.process_environment(), capture_output=True, text=True, check=True
    ).stdout
    assert out.splitlines()[-1].strip() == "loaded:"
