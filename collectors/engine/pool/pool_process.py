"""One disposable process that runs units of work, as both of its sides see it.

It is forked from this process, so it knows the units that exist by then, and has a stack deep enough for the parser. It
writes the current unit and step to shared memory.
"""

import contextlib
import ctypes
import faulthandler
import fcntl
import gc
import mmap
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from collectors.engine.pool.steps import Unit, pack, run_on_deep_stack, run_unit, unpack
from domain.framing import encode_frame, take_frames
from domain.ports import ProcessControl

QUEUED_WEIGHT = 1.0
"""The weight of units that a process is given in advance."""

_ANSWER_PIPE_BYTES = 1 << 18


class PoolProcess:
    """A forked process, the number of units that it knows, and those that it has in flight."""

    def __init__(self, units: Sequence[Unit], process_control: ProcessControl) -> None:
        self.known_units = len(units)
        # One aligned 64-bit word, so that a reader never sees half of a change: unit + 1 (0: between steps), step, ms.
        self._marker = ctypes.c_uint64.from_buffer(mmap.mmap(-1, mmap.PAGESIZE))
        self._mark(-1, 0)
        self.in_flight: dict[int, float] = {}
        """The weight of each unit that was queued and has not been answered, by index."""
        # Pipes: the sandbox lets no child make a pair of sockets, whose buffers no limit counts.
        requests, self.requests = os.pipe()
        self.answers, answers = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _run_child(requests, answers, units, self._mark, process_control)
        os.close(requests)
        os.close(answers)
        os.set_blocking(self.requests, False)
        with contextlib.suppress(OSError):  # answers then take more turns
            fcntl.fcntl(self.answers, fcntl.F_SETPIPE_SZ, _ANSWER_PIPE_BYTES)
        self._received = bytearray()
        self._unsent = bytearray()

    def _mark(self, unit: int, step: int) -> None:
        self._marker.value = (unit + 1) << 40 | (step & 0xFF) << 32 | _milliseconds()

    def position(self) -> tuple[int, int, float]:
        """Return the current unit and step, and the seconds spent in that step. Unit -1 means between steps."""
        word = self._marker.value
        return (word >> 40) - 1, word >> 32 & 0xFF, (_milliseconds() - word & 0xFFFFFFFF) / 1000

    def enqueue(self, unit: int, weight: float, skip: Mapping[str, str]) -> None:
        """Queue a unit, with the steps to leave out and the reasons. `flush` sends it."""
        self.in_flight[unit] = weight
        self._unsent += encode_message([unit, dict(skip)])

    def flush(self) -> bool:
        """Send what the process accepts now. Return whether everything has been sent.

        Never blocks: the process may itself be blocked until its answers are read.
        """
        with contextlib.suppress(BlockingIOError):
            while self._unsent:
                del self._unsent[: os.write(self.requests, self._unsent)]
        return not self._unsent

    def receive(self) -> list[Any] | None:
        """Return the answers that have arrived, or None if the process has ended."""
        chunk = os.read(self.answers, _ANSWER_PIPE_BYTES)
        if not chunk:
            return None
        self._received += chunk
        return take_messages(self._received)

    def kill(self) -> None:
        """Kill the process. `reap` must follow."""
        os.close(self.requests)
        os.close(self.answers)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> str:
        """Wait until the process has ended, and return how it did, in words. Later calls return an empty string."""
        pid, self.pid = self.pid, 0
        if not pid:
            return ""
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return f"crashed ({signal.Signals(-code).name})" if code < 0 else f"ended with exit code {code}"


def _milliseconds() -> int:
    return time.monotonic_ns() // 1_000_000 & 0xFFFFFFFF


def encode_message(message: Any) -> bytes:
    """Encode plain data as one frame."""
    return encode_frame(pack(message))


def take_messages(buffer: bytearray) -> list[Any]:
    """Remove all complete frames from the front of the buffer and return their messages."""
    return [unpack(payload) for _, payload in take_frames(buffer)]


def _run_child(
    requests: int,
    answers: int,
    units: Sequence[Unit],
    mark: Callable[[int, int], None],
    process_control: ProcessControl,
) -> None:
    """Run the child until the pipe of its requests is closed, and exit; never returns."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        process_control.close_other_fds(requests, answers)  # the worker's, and the pipes of other pool processes
        faulthandler.disable()  # the parent reports how a child crashed; the worker's log need not
        gc.disable()  # syntax trees are freed by reference counts; cycles are collected between units
        gc.freeze()
        run_on_deep_stack(partial(_serve, requests, answers, units, mark))
        status = 0
    finally:
        os._exit(status)


def _serve(requests: int, answers: int, units: Sequence[Unit], mark: Callable[[int, int], None]) -> None:
    buffer = bytearray()
    done = 0.0
    while chunk := os.read(requests, 1 << 16):
        buffer += chunk
        for index, skip in take_messages(buffer):
            unit = units[index]
            result = run_unit(unit, skip, lambda step, index=index: mark(index, step))  # type: ignore[misc]
            mark(-1, 0)
            _write_all(answers, encode_message([index, result.values, result.failures, result.cpu_ms]))
            done += unit.weight
            if done >= QUEUED_WEIGHT:
                gc.collect()
                done = 0.0


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
