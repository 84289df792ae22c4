"""Interrupted while a program of the servers' runs, we end the program and all that it has started."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.fixtures.processes import descendants

CHECKOUT = Path(__file__).parents[4]
CODE = """
import pathlib, sys
from infrastructure.embedded.server_process import RunAs, run_program
waiting = "import sys, time; print('here', file=open(sys.argv[1], 'w'), flush=True); time.sleep(1000)"
script = '"$0" -c "$1" "$2/child" & wait'
run_program(["sh", "-c", script, sys.executable, waiting, sys.argv[1]], RunAs(), cwd=pathlib.Path(sys.argv[1]))
"""


def test_its_children_go_with_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CODE, str(tmp_path)], cwd=CHECKOUT, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (tmp_path / "child").exists():
            assert process.poll() is None
        family = descendants(process.pid)
        assert len(family) == 2
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
    assert error.rstrip().endswith("KeyboardInterrupt")
    _, left = psutil.wait_procs(family, timeout=30)
    assert left == []
