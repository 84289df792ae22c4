import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from collectors.tool_launcher import CANNOT_START, STACK_BYTES
from collectors.tool_process import ToolRun, run_tool


def run_python(code: str, *arguments: str, deadline: float = 30, output_limit: int = 1 << 20) -> ToolRun:
    return run_tool(
        [sys.executable, "-I", "-c", code, *arguments],
        cwd=Path("/"),
        environment={"LC_ALL": "C.UTF-8", "GIVEN": "yes"},
        deadline=deadline,
        output_limit=output_limit,
    )


def test_output_errors_and_exit_code() -> None:
    run = run_python("import sys; print('said'); print('complained', file=sys.stderr); sys.exit(3)")
    assert (run.exit_code, bytes(run.output), run.errors, run.lost) == (3, b"said\n", "complained\n", None)


def test_arguments_arrive_as_they_are() -> None:
    hostile = ["a b", "$(x)", "-x", "@y", "\udcff\udcfe", "n\nl", "é"]
    run = run_python("import os, sys; [os.write(1, os.fsencode(a) + b'\\0') for a in sys.argv[1:]]", *hostile)
    assert bytes(run.output) == b"".join(os.fsencode(word) + b"\0" for word in hostile)


def test_the_environment_is_only_the_given_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUFF_OUTPUT_FILE", "/tmp/x")
    run = run_python("import os; print(sorted(os.environ))")
    assert bytes(run.output) == b"['GIVEN', 'LC_ALL']\n"


def test_there_is_no_input_and_no_descriptor_of_ours() -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    try:
        code = "import os, sys; print(sys.stdin.read(), [n for n in range(3, 200) if os.path.exists(f'/dev/fd/{n}')])"
        run = run_python(code)
    finally:
        os.close(reading)
        os.close(writing)
    # the one left is the directory's own while it is being looked at
    assert bytes(run.output) == b" []\n"


def test_it_dumps_no_core_writes_no_file_and_has_a_deep_stack(tmp_path: Path) -> None:
    code = "import resource as r; print([r.getrlimit(k)[0] for k in (r.RLIMIT_CORE, r.RLIMIT_FSIZE, r.RLIMIT_STACK)])"
    _, hard = resource.getrlimit(resource.RLIMIT_STACK)
    stack = STACK_BYTES if hard == resource.RLIM_INFINITY else min(hard, STACK_BYTES)
    assert bytes(run_python(code).output) == f"[0, 0, {stack}]\n".encode()
    target = tmp_path / "written"
    run = run_python("import sys; open(sys.argv[1], 'wb', buffering=0).write(b'x')", str(target))
    assert run.exit_code != 0
    assert target.read_bytes() == b""


def test_past_its_deadline_it_is_killed() -> None:
    run = run_python("import time; print('begun', flush=True); time.sleep(3600)", deadline=1)
    assert (run.exit_code, run.lost) == (None, "took too long")


def test_talking_does_not_prolong_the_deadline() -> None:
    run = run_python("while True: print('x', flush=True)", deadline=1, output_limit=1 << 40)
    assert run.lost == "took too long"


def test_closing_its_output_does_not_prolong_the_deadline() -> None:
    run = run_python("import os, time; os.close(1); os.close(2); time.sleep(3600)", deadline=1)
    assert run.lost == "took too long"


def test_what_says_too_much_is_killed() -> None:
    run = run_python("while True: print('x' * 1000)", output_limit=100_000)
    assert (run.exit_code, run.lost) == (None, "said too much")
    assert len(run.output) < 1_000_000


def test_endless_complaints_are_cut_and_cost_nothing() -> None:
    run = run_python("import sys; sys.stderr.write('x' * 10_000_000)")
    assert run.exit_code == 0
    assert run.errors == "x" * 4096


def test_a_crash_is_named() -> None:
    run = run_python("import os; os.abort()")
    assert (run.exit_code, run.lost) == (None, "crashed (SIGABRT)")


def test_what_cannot_be_started_says_so(tmp_path: Path) -> None:
    run = run_tool([str(tmp_path / "nothing")], cwd=tmp_path, environment={}, deadline=30, output_limit=1)
    assert run.exit_code == CANNOT_START
    assert "No such file or directory" in run.errors


PARENT = """
import sys
from pathlib import Path
from collectors.tool_process import run_tool
code = "import os, sys, time; fifo = open(sys.argv[1], 'w'); fifo.write('begun'); fifo.flush(); time.sleep(3600)"
run_tool([sys.executable, "-I", "-c", code, sys.argv[1]], cwd=Path("/"), environment={}, deadline=3600, output_limit=1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a process to its parent")
def test_it_dies_with_the_process_that_asked(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    root = str(Path(__file__).parents[3])
    with subprocess.Popen([sys.executable, "-c", PARENT, str(fifo)], cwd=root) as parent, fifo.open("rb") as heard:
        assert heard.read(5) == b"begun"
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert heard.read() == b""  # comes when the tool, the only writer, is gone
