"""Running a native tool: output, limits, timeouts, and what happens when a process dies."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from collectors.tools.tool_launcher import STACK_BYTES, supervisor_kills_descendants
from collectors.tools.tool_process import ToolRun, run_tool
from tests.unit.collectors.source_trees import PROCESS_CONTROL


def run_python(code: str, *arguments: str, timeout: float = 30, output_limit: int = 1 << 20) -> tuple[ToolRun, bytes]:
    """Run Python code as a tool; return how it ended and its output, with a newline after each line."""
    lines: list[bytes] = []
    run = run_tool(
        [sys.executable, "-I", "-c", code, *arguments],
        cwd=Path("/"),
        environment={"LC_ALL": "C.UTF-8", "GIVEN": "yes"},
        process_control=PROCESS_CONTROL,
        timeout=timeout,
        output_limit=output_limit,
        on_line=lines.append,
    )
    return run, b"".join(line + b"\n" for line in lines)


def test_output_errors_and_exit_code() -> None:
    run, output = run_python("import sys; print('output'); print('error', file=sys.stderr); sys.exit(3)")
    assert (run.exit_code, output, run.stderr, run.failure) == (3, b"output\n", "error\n", None)


def test_output_is_split_at_newlines_only() -> None:
    code = "import os, time; [os.write(1, piece) for piece in (b'a\\r', b'b\\xe2\\x80\\xa8c\\n\\nd', b'e\\n', b'end')]"
    _, output = run_python(code)
    assert output == "a\rb\u2028c\n\nde\nend\n".encode()


def test_long_output_arrives_completely() -> None:
    run, output = run_python("for n in range(200_000): print(n)", output_limit=1 << 30)
    assert run.exit_code == 0
    assert output == b"".join(b"%d\n" % number for number in range(200_000))


def test_arguments_arrive_unchanged() -> None:
    hostile = ["a b", "$(x)", "-x", "@y", "\udcff\udcfe", "n\nl", "é"]
    _, output = run_python("import os, sys; [os.write(1, os.fsencode(a) + b'\\n') for a in sys.argv[1:]]", *hostile)
    assert output == b"".join(os.fsencode(word) + b"\n" for word in hostile)


def test_environment_has_only_the_given_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUFF_OUTPUT_FILE", "/tmp/x")
    assert run_python("import os; print(sorted(os.environ))")[1] == b"['GIVEN', 'LC_ALL']\n"


def test_tool_has_no_input_and_inherits_no_descriptor() -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    try:
        code = "import os, sys; print(sys.stdin.read(), [n for n in range(3, 200) if os.path.exists(f'/dev/fd/{n}')])"
        assert run_python(code)[1] == b" []\n"
    finally:
        os.close(reading)
        os.close(writing)


def test_tool_dumps_no_core_writes_no_file_and_has_a_deep_stack(tmp_path: Path) -> None:
    code = "import resource as r; print([r.getrlimit(k)[0] for k in (r.RLIMIT_CORE, r.RLIMIT_FSIZE, r.RLIMIT_STACK)])"
    _, hard = resource.getrlimit(resource.RLIMIT_STACK)
    stack = STACK_BYTES if hard == resource.RLIM_INFINITY else min(hard, STACK_BYTES)
    assert run_python(code)[1] == f"[0, 0, {stack}]\n".encode()
    before = [resource.getrlimit(kind) for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_STACK)]
    with supervisor_kills_descendants():
        assert run_python(code)[1] == f"[0, 0, {stack}]\n".encode()
    assert before == [resource.getrlimit(kind) for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_STACK)]
    target = tmp_path / "written"
    run, _ = run_python("import sys; open(sys.argv[1], 'wb', buffering=0).write(b'x')", str(target))
    assert run.exit_code != 0
    assert target.read_bytes() == b""


@pytest.mark.parametrize(
    "code",
    [
        "import time; print('started', flush=True); time.sleep(3600)",
        "while True: print('x', flush=True)",
        "import os, time; os.close(1); os.close(2); time.sleep(3600)",
    ],
)
def test_tool_is_killed_after_its_timeout_with_or_without_output(code: str) -> None:
    run, _ = run_python(code, timeout=1, output_limit=1 << 40)
    assert (run.exit_code, run.failure, run.timed_out) == (None, "timed out after 1 s", True)


def test_tool_that_writes_too_much_is_killed() -> None:
    run, output = run_python("while True: print('x' * 1000)", output_limit=100_000)
    assert (run.exit_code, run.failure, run.timed_out) == (None, "wrote more than 100000 bytes", False)
    assert len(output) < 1_000_000


def test_one_endless_line_exceeds_the_output_limit() -> None:
    run, output = run_python("while True: print('x' * 1000, end='')", output_limit=100_000)
    assert (run.failure, output) == ("wrote more than 100000 bytes", b"")


def test_long_standard_error_is_cut() -> None:
    run, _ = run_python("import sys; sys.stderr.write('x' * 10_000_000)")
    assert run.exit_code == 0
    assert run.stderr == "x" * 4096


def test_crash_is_reported_with_its_signal() -> None:
    run, _ = run_python("import os; os.abort()")
    assert (run.exit_code, run.failure) == (None, "crashed (SIGABRT)")


def test_missing_program_raises(tmp_path: Path) -> None:
    command = [str(tmp_path / "nothing")]
    with pytest.raises(FileNotFoundError, match="nothing"):
        run_tool(
            command,
            cwd=tmp_path,
            environment={},
            process_control=PROCESS_CONTROL,
            timeout=30,
            output_limit=1,
            on_line=print,
        )


def test_tool_is_killed_when_the_output_reader_raises() -> None:
    children = psutil.Process().children()

    def refuse(line: bytes) -> None:
        raise ValueError(line.decode())

    with pytest.raises(ValueError, match="started"):
        run_tool(
            [sys.executable, "-c", "import time; print('started', flush=True); time.sleep(3600)"],
            cwd=Path("/"),
            environment={},
            process_control=PROCESS_CONTROL,
            timeout=3600,
            output_limit=100,
            on_line=refuse,
        )
    assert psutil.Process().children() == children


PARENT = """
import sys
from pathlib import Path
from collectors.tools.tool_process import run_tool
from tests.unit.collectors.source_trees import PROCESS_CONTROL
code = "import os, sys, time; fifo = open(sys.argv[1], 'w'); fifo.write('started'); fifo.flush(); time.sleep(3600)"
run_tool([sys.executable, "-I", "-c", code, sys.argv[1]], cwd=Path("/"), environment={},
         process_control=PROCESS_CONTROL, timeout=3600, output_limit=1, on_line=print)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent death signal")
def test_tool_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    root = str(Path(__file__).parents[4])
    with subprocess.Popen([sys.executable, "-c", PARENT, str(fifo)], cwd=root) as parent, fifo.open("rb") as pipe:
        assert pipe.read(7) == b"started"
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert pipe.read() == b""  # end of file: the tool, the only writer, is gone
