"""Run units of work in disposable processes, so that a step that hangs or dies costs itself and nothing else.

A unit (one file, say) has steps (one a collector). Each lane is a forked process with a stack deep enough for the
parser's own limit. It notes in shared memory which step it is in; when it dies, or sits in one step past the unit's
deadline, the supervisor charges that step, starts another lane, and gives it what the lost one still owed.
"""

import contextlib
import ctypes
import faulthandler
import gc
import mmap
import os
import resource
import selectors
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from collectors.engine.steps import Unit, UnitResult, on_deep_stack, pack, run_unit, unpack

POLL_SECONDS = 0.1
LANE_WEIGHT = 1.0
"""How much unfinished weight a lane is given in advance."""

MAX_LOSSES = 2
"""How often a unit may be lost between steps (its lane killed from outside) before it is given up."""

_LENGTH = struct.Struct("<I")


class Lane:
    """One forked process and what it owes."""

    def __init__(self, units: Sequence[Unit]) -> None:
        # One aligned word, since a reader must never see half of a change: unit + 1 (0: between steps), step, ms.
        self._marker = ctypes.c_uint64.from_buffer(mmap.mmap(-1, mmap.PAGESIZE))
        self._mark(-1, 0)
        self.owed: dict[int, float] = {}
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            _lane_main(theirs, units, self._mark)
        theirs.close()
        self.socket = ours
        self._buffer = bytearray()
        self._outgoing = bytearray()

    def _mark(self, unit: int, step: int) -> None:
        self._marker.value = (unit + 1) << 40 | (step & 0xFF) << 32 | _milliseconds()

    def position(self) -> tuple[int, int, float]:
        """Unit, step and the seconds spent in it; unit -1 between steps."""
        word = self._marker.value
        return (word >> 40) - 1, word >> 32 & 0xFF, (_milliseconds() - word & 0xFFFFFFFF) / 1000

    def give(self, unit: int, weight: float, skip: Mapping[str, str]) -> None:
        """Queue a unit, with the steps to leave out and why; `flush` sends it."""
        self.owed[unit] = weight
        self._outgoing += _frame([unit, dict(skip)])

    def flush(self) -> bool:
        """Send what the process takes now, and say whether that was all.

        Never waits: the process may be waiting for us to read its answers.
        """
        with contextlib.suppress(BlockingIOError):
            while self._outgoing:
                del self._outgoing[: self.socket.send(self._outgoing, socket.MSG_DONTWAIT)]
        return not self._outgoing

    def receive(self) -> list[Any] | None:
        """The answers that have arrived, or None when the process is gone."""
        try:
            chunk = self.socket.recv(1 << 20)
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            return None
        self._buffer += chunk
        return _take_frames(self._buffer)

    def end(self) -> str:
        """Kill the process, reap it, and say how it had ended."""
        self.socket.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return f"crashed ({signal.Signals(-code).name})" if code < 0 else f"ended with exit code {code}"


def _milliseconds() -> int:
    return time.monotonic_ns() // 1_000_000 & 0xFFFFFFFF


def _frame(message: Any) -> bytes:
    body = pack(message)
    return _LENGTH.pack(len(body)) + body


def _take_frames(buffer: bytearray) -> list[Any]:
    frames, offset = [], 0
    while len(buffer) - offset >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(buffer, offset)
        end = offset + _LENGTH.size + length
        if len(buffer) < end:
            break
        body = memoryview(buffer)[offset + _LENGTH.size : end]
        frames.append(unpack(body))
        body.release()
        offset = end
    del buffer[:offset]
    return frames


def _lane_main(channel: socket.socket, units: Sequence[Unit], mark: Callable[[int, int], None]) -> None:
    """The child's whole life; never returns."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _keep_only(channel.fileno())
        faulthandler.disable()  # how a lane crashed is the supervisor's to tell, not the worker's log
        gc.disable()  # trees are freed by reference counts; cycles are collected between units
        gc.freeze()
        on_deep_stack(partial(_work, channel, units, mark))
        status = 0
    finally:
        os._exit(status)


def _work(channel: socket.socket, units: Sequence[Unit], mark: Callable[[int, int], None]) -> None:
    buffer = bytearray()
    done = 0.0
    while chunk := channel.recv(1 << 16):
        buffer += chunk
        for index, skip in _take_frames(buffer):
            unit = units[index]
            result = run_unit(unit, skip, lambda step, index=index: mark(index, step))  # type: ignore[misc]
            mark(-1, 0)
            channel.sendall(_frame([index, result.values, result.failures, result.cpu_ms]))
            done += unit.weight
            if done >= LANE_WEIGHT:
                gc.collect()
                done = 0.0


def _keep_only(descriptor: int) -> None:
    """Close what was inherited beside it and the standard three: the way to our worker, and to the other lanes."""
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


class Supervisor:
    """Hands units to lanes and gathers what they answer."""

    def __init__(
        self,
        units: Sequence[Unit],
        *,
        lanes: int,
        budget_ms: float,
        on_result: Callable[[int, UnitResult], None],
    ) -> None:
        """`budget_ms` is the CPU time that all steps of one name may take together; after that they are left out."""
        self._units = units
        self._lane_count = min(lanes, len(units))
        self._budget_ms = budget_ms
        self._on_result = on_result
        self._pending = deque(range(len(units)))
        self._skip: dict[int, dict[str, str]] = {}
        self._losses: dict[int, int] = {}
        self._spent_ms: dict[str, float] = {}
        self._exhausted: dict[str, str] = {}
        self._unanswered = len(units)
        self._lanes: list[Lane] = []
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Return when every unit has been answered for, one way or another."""
        try:
            for _ in range(self._lane_count):
                self._start_lane()
            while self._unanswered:
                for key, events in self._selector.select(POLL_SECONDS):
                    if events & selectors.EVENT_WRITE:
                        self._send(key.data)
                    if events & selectors.EVENT_READ:
                        self._listen(key.data)
                for lane in [lane for lane in self._lanes if self._overdue(lane)]:
                    self._lose(lane, hung=True)
        finally:
            for lane in list(self._lanes):
                self._stop_lane(lane)
            self._selector.close()

    def _start_lane(self) -> None:
        lane = Lane(self._units)
        self._lanes.append(lane)
        self._selector.register(lane.socket, selectors.EVENT_READ, lane)
        self._feed(lane)

    def _stop_lane(self, lane: Lane) -> str:
        self._lanes.remove(lane)
        self._selector.unregister(lane.socket)
        return lane.end()

    def _feed(self, lane: Lane) -> None:
        while self._pending and sum(lane.owed.values()) < LANE_WEIGHT:
            index = self._pending.popleft()
            skip = {**self._exhausted, **self._skip.get(index, {})}
            lane.give(index, self._units[index].weight, skip)
        self._send(lane)

    def _send(self, lane: Lane) -> None:
        try:
            all_sent = lane.flush()
        except OSError:
            all_sent = True  # the lane has just died; `_listen` will see it and take back what it owes
        events = selectors.EVENT_READ if all_sent else selectors.EVENT_READ | selectors.EVENT_WRITE
        self._selector.modify(lane.socket, events, lane)

    def _listen(self, lane: Lane) -> None:
        answers = lane.receive()
        if answers is None:
            self._lose(lane, hung=False)
            return
        for index, values, failures, cpu_ms in answers:
            if index not in lane.owed or not self._is_about(index, values):
                self._lose(lane, hung=False)
                return
            lane.owed.pop(index)
            self._answer(index, UnitResult(values=values, failures=failures, cpu_ms=cpu_ms))
        self._feed(lane)

    def _is_about(self, index: int, values: Mapping[str, Any]) -> bool:
        """A lane speaks for what it was given and nothing else: the file in it may have taken it over."""
        return values.keys() <= {name for name, _ in self._units[index].steps()}

    def _answer(self, index: int, result: UnitResult) -> None:
        self._unanswered -= 1
        for name, spent in result.cpu_ms.items():
            self._spent_ms[name] = self._spent_ms.get(name, 0.0) + spent
            if self._spent_ms[name] > self._budget_ms:
                self._exhausted[name] = f"out of time after {self._budget_ms / 1000:g} s"
        self._on_result(index, result)

    def _overdue(self, lane: Lane) -> bool:
        unit, _, seconds = lane.position()
        return unit >= 0 and seconds > self._units[unit].deadline

    def _lose(self, lane: Lane, *, hung: bool) -> None:
        unit, step, seconds = lane.position()
        how = self._stop_lane(lane)
        if unit >= 0:
            names = [name for name, _ in self._units[unit].steps()]
            reason = f"no answer within {seconds:.0f} s" if hung else how
            lost = names if step == 0 else [names[step]]
            self._skip.setdefault(unit, {}).update(dict.fromkeys(lost, reason))
        for index in reversed(lane.owed):
            self._losses[index] = self._losses.get(index, 0) + (unit < 0)
            if self._losses[index] > MAX_LOSSES:
                failures = {name: how for name, _ in self._units[index].steps()}
                self._answer(index, UnitResult(failures=failures))
            else:
                self._pending.appendleft(index)
        if self._unanswered:
            self._start_lane()
