"""Pool of disposable processes that run units of work, so that a step that hangs or crashes fails alone.

A unit (one file, say) has steps (one for each collector). A pool process is forked from this one and has a stack deep
enough for the parser. It writes the current unit and step to shared memory. When it dies, or stays in one step past
the unit's deadline, that step is marked as failed, and a new process gets the units that were in flight.

All steps of one name share a budget of time. A step that was killed is charged for as long as it ran, so steps that
hang exhaust their collector, and not the whole analysis.
"""

import contextlib
import ctypes
import faulthandler
import fcntl
import gc
import mmap
import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from collectors.engine.steps import Unit, UnitResult, out_of_time, pack, run_on_deep_stack, run_unit, unpack
from domain.framing import encode_frame, take_frames
from domain.ports import ProcessControl

POLL_SECONDS = 0.1
QUEUED_WEIGHT = 1.0
"""The weight of units that a process is given in advance."""

_ANSWER_PIPE_BYTES = 1 << 18

MAX_CRASHES = 2
"""How often a unit may be in flight when its process is killed between steps, by something else, before it fails."""


class PoolProcess:
    """A forked process and the units it has in flight."""

    def __init__(self, units: Sequence[Unit], process_control: ProcessControl) -> None:
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

    def kill(self) -> str:
        """Kill and reap the process. Return how it ended, in words."""
        os.close(self.requests)
        os.close(self.answers)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
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


class ProcessPool:
    """Distributes units to pool processes and gathers the results."""

    def __init__(
        self,
        units: Sequence[Unit],
        *,
        processes: int,
        process_control: ProcessControl,
        budget_ms: float,
        on_result: Callable[[int, UnitResult], None],
    ) -> None:
        """`budget_ms` is the time that all steps of one name may use together; after that they are skipped.

        A step that ends is charged its CPU time; one that is killed, the time since its start.
        """
        self._units = units
        self._size = min(processes, len(units))
        self._process_control = process_control
        self._budget_ms = budget_ms
        self._on_result = on_result
        self._pending = deque(range(len(units)))
        self._skip: dict[int, dict[str, str]] = {}
        self._crashes: dict[int, int] = {}
        self._spent_ms: dict[str, float] = {}
        self._exhausted: dict[str, str] = {}
        self._unanswered = len(units)
        self._processes: list[PoolProcess] = []
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Run all units; return when each of them has a result."""
        try:
            for _ in range(self._size):
                self._start_process()
            while self._unanswered:
                for key, events in self._selector.select(POLL_SECONDS):
                    if key.data not in self._processes:
                        continue  # it was replaced in this turn
                    if events & selectors.EVENT_WRITE:
                        self._send(key.data)
                    else:
                        self._receive(key.data)
                for process in [process for process in self._processes if self._is_overdue(process)]:
                    self._handle_crash(process, hung=True)
        finally:
            for process in list(self._processes):
                self._kill_process(process)
            self._selector.close()

    def _start_process(self) -> None:
        process = PoolProcess(self._units, self._process_control)
        self._processes.append(process)
        self._selector.register(process.answers, selectors.EVENT_READ, process)
        self._fill_queue(process)

    def _kill_process(self, process: PoolProcess) -> str:
        self._processes.remove(process)
        self._selector.unregister(process.answers)
        self._wait_to_send(process, waiting=False)
        return process.kill()

    def _fill_queue(self, process: PoolProcess) -> None:
        while self._pending and sum(process.in_flight.values()) < QUEUED_WEIGHT:
            index = self._pending.popleft()
            skip = {**self._exhausted, **self._skip.get(index, {})}
            process.enqueue(index, self._units[index].weight, skip)
        self._send(process)

    def _send(self, process: PoolProcess) -> None:
        try:
            all_sent = process.flush()
        except OSError:
            all_sent = True  # the process has just died; `_receive` sees that and takes its units back
        self._wait_to_send(process, waiting=not all_sent)

    def _wait_to_send(self, process: PoolProcess, *, waiting: bool) -> None:
        waits = process.requests in self._selector.get_map()
        if waiting and not waits:
            self._selector.register(process.requests, selectors.EVENT_WRITE, process)
        elif waits and not waiting:
            self._selector.unregister(process.requests)

    def _receive(self, process: PoolProcess) -> None:
        answers = process.receive()
        if answers is None:
            self._handle_crash(process, hung=False)
            return
        for index, values, failures, cpu_ms in answers:
            if index not in process.in_flight or not self._has_known_steps(index, values):
                self._handle_crash(process, hung=False)
                return
            process.in_flight.pop(index)
            self._finish(index, UnitResult(values=values, failures=failures, cpu_ms=cpu_ms))
        self._fill_queue(process)

    def _has_known_steps(self, index: int, values: Mapping[str, Any]) -> bool:
        """A process may answer only for its own units and their steps: a hostile file may have taken it over."""
        return values.keys() <= {name for name, _ in self._units[index].steps()}

    def _finish(self, index: int, result: UnitResult) -> None:
        self._unanswered -= 1
        for name, spent in result.cpu_ms.items():
            self._charge(name, spent)
        self._on_result(index, result)

    def _charge(self, name: str, spent_ms: float) -> None:
        self._spent_ms[name] = self._spent_ms.get(name, 0.0) + spent_ms
        if self._spent_ms[name] > self._budget_ms:
            self._exhausted[name] = out_of_time(name, self._budget_ms / 1000)

    def _name(self, unit: int, step: int) -> str:
        return next(islice((name for name, _ in self._units[unit].steps()), step, None))

    def _is_overdue(self, process: PoolProcess) -> bool:
        """Whether the current step is past its deadline, or is of a name that was exhausted after it was queued."""
        unit, step, seconds = process.position()
        if unit < 0:
            return False
        if seconds > self._units[unit].deadline:
            return True
        return bool(self._exhausted) and self._name(unit, step) in self._exhausted

    def _handle_crash(self, process: PoolProcess, *, hung: bool) -> None:
        """Replace the process: its current step fails, and the units in flight go back to the queue."""
        how = self._kill_process(process)
        unit, step, seconds = process.position()  # it moves no more
        if unit >= 0:
            self._fail_step(unit, step, seconds, None if hung else how)
        for index in reversed(process.in_flight):
            self._crashes[index] = self._crashes.get(index, 0) + (unit < 0)
            if self._crashes[index] > MAX_CRASHES:
                failures = {name: how for name, _ in self._units[index].steps()}
                self._finish(index, UnitResult(failures=failures))
            else:
                self._pending.appendleft(index)
        if self._unanswered:
            self._start_process()

    def _fail_step(self, unit: int, step: int, seconds: float, how: str | None) -> None:
        """Let the step in which a process was killed fail, and charge its time. `how` is None if it was overdue.

        A process may have gone on to another step between the look at its position and its end; that step runs again.
        """
        name = self._name(unit, step)
        if how is None and name not in self._exhausted and seconds <= self._units[unit].deadline:
            return
        self._charge(name, seconds * 1000)
        self._skip.setdefault(unit, {})[name] = how or self._exhausted.get(name) or f"no answer within {seconds:.0f} s"
