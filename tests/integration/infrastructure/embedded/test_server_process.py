"""An interrupt during `run_program` ends the program and its child processes."""

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


def test_an_interrupt_kills_the_program_and_its_children(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CODE, str(tmp_path)], cwd=CHECKOUT, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (tmp_path / "child").exists():
            assert process.poll() is None
        processes = descendants(process.pid)
        assert len(processes) == 2
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
    assert error.rstrip().endswith("KeyboardInterrupt")
    _, left = psutil.wait_procs(processes, timeout=30)
    assert left == []
