"""Standard streams that are closed, full, or without the characters of the output: one line, and never a traceback."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.worker_process import COMMAND, System

ANALYZE = ("analyze", "code.py", "--json", "--offline")
HELP = ("--help",)


@pytest.fixture(autouse=True)
def source_files(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("import os\n")
    (tmp_path / "caf\xe9.py").write_text("import os\n")


def redirected(
    system: System, redirection: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a shell that applies the redirection."""
    script = f'"$@" {redirection}'
    return subprocess.run(
        ["bash", "-c", script, "bash", *COMMAND, *arguments],  # noqa: S607
        env=system.process_environment(**environment),
        cwd=system.directory,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", [ANALYZE, ANALYZE[:-2], HELP], ids=" ".join)
def test_a_full_disk_is_one_line(no_services: System, arguments: tuple[str, ...]) -> None:
    done = redirected(no_services, ">/dev/full", *arguments)
    (line,) = [line for line in done.stderr.decode().splitlines() if not line.endswith(" ...")]  # but the progress
    assert line == "vibe8: standard output or a temporary file cannot be written: No space left on device"
    assert done.returncode == 2


@pytest.mark.parametrize(("arguments", "code"), [(ANALYZE, 0), (HELP, 1)])  # typer's own code
def test_a_reader_that_has_gone_is_told_nothing(no_services: System, arguments: tuple[str, ...], code: int) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        environment = no_services.process_environment()
        done = subprocess.run(
            [*COMMAND, *arguments],
            stdout=write_end, stderr=subprocess.PIPE, env=environment, cwd=no_services.directory, check=False,
        )  # fmt: skip
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (code, b"")


@pytest.mark.parametrize(
    ("redirection", "arguments", "code", "error"),
    [
        (">&-", ANALYZE, 0, b""),
        ("<&- >&-", ANALYZE, 0, b""),
        (">&-", ("analyze", "missing"), 2, b"vibe8: 'missing' is no directory, no file and no https:// URL\n"),
        ("2>&-", ("analyze", "missing"), 2, b""),
        ("<&-", ("cancel", "--status", "pending"), 3, None),
    ],
)
def test_closed_streams_are_no_fault(
    no_services: System, redirection: str, arguments: tuple[str, ...], code: int, error: bytes | None
) -> None:
    done = redirected(no_services, redirection, *arguments)
    assert done.returncode == code, done.stderr
    assert (done.stdout, b"Traceback" in done.stderr) == (b"", False)
    assert error is None or done.stderr == error


@pytest.mark.parametrize("environment", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONUTF8": "0"}])
def test_output_is_escaped_where_its_encoding_has_no_such_character(
    no_services: System, environment: dict[str, str]
) -> None:
    shown = redirected(no_services, "", "analyze", "caf\xe9.py", "--offline", **environment)
    assert (shown.returncode, b"Traceback" in shown.stderr) == (0, False)
    assert any(name in shown.stdout for name in (b"caf\\xe9.py", "caf\xe9.py".encode()))
    exact = redirected(no_services, "", "analyze", "caf\xe9.py", "--offline", "--json", **environment)
    assert json.loads(exact.stdout)["source"]["path"] == "caf\xe9.py"
