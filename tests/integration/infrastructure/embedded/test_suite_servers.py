"""The servers of the test suite end with it, also when it is interrupted."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

CHECKOUT = Path(__file__).parents[4]
WAITING_TEST = """
import signal
from tests.fixtures.servers import Servers

def test_waits(servers: Servers, database_url: str, redis_url: str) -> None:
    print(f"\\npids: {servers.postgres.process.pid} {servers.valkey.process.pid}", flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_suite_leaves_no_server(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "test_waiting.py").write_text(WAITING_TEST)
    command = [sys.executable, "-m", "pytest", "-s", "-p", "tests.conftest", str(tmp_path / "test_waiting.py")]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as suite:
        assert suite.stdout is not None
        lines = []
        for line in suite.stdout:
            lines.append(line)
            if line.startswith("pids: "):
                break
        pids = [int(word) for word in lines[-1].split()[1:]]
        assert all(psutil.pid_exists(pid) for pid in pids), "".join(lines)
        suite.send_signal(number)
        rest, _ = suite.communicate()
    assert suite.returncode == pytest.ExitCode.INTERRUPTED, rest
    assert not any(psutil.pid_exists(pid) for pid in pids)
