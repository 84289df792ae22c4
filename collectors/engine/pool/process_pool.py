"""Pool of disposable processes that run units of work, so that a step that hangs or crashes fails alone.

A unit (one file, say) has steps (one for each collector). When a process dies, or stays in one step past the unit's
deadline, that step is marked as failed, and a new process gets the units that were in flight.

Units may be added while the pool works. A process does not know those that were added after it was forked: when it has
nothing else to do, a new process takes its place.

All steps of one name share a budget of time. A step that was killed is charged for as long as it ran, so steps that
hang exhaust their collector, and not the whole analysis.
"""

import selectors
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Self

from collectors.engine.pool.pool_process import QUEUED_WEIGHT, PoolProcess
from collectors.engine.pool.steps import Unit, UnitResult, out_of_time
from domain.ports import ProcessControl

POLL_SECONDS = 0.1

MAX_CRASHES = 2
"""How often a unit may be in flight when its process is killed between steps, by something else, before it fails."""


class ProcessPool:
    """Distributes units to pool processes and gathers the results. As a context manager it starts and ends them."""

    def __init__(
        self,
        units: Sequence[Unit],
        *,
        processes: int,
        process_control: ProcessControl,
        budget_ms: float,
        on_result: Callable[[int, UnitResult], None],
    ) -> None:
        """`units` may grow, also by what `on_result` appends.

        `budget_ms` is the time that all steps of one name may use together; after that they are skipped. A step that
        ends is charged its CPU time; one that is killed, the time since its start.
        """
        self._units = units
        self._size = processes
        self._process_control = process_control
        self._budget_ms = budget_ms
        self._on_result = on_result
        self._pending: deque[int] = deque()
        self._known = 0
        self._skip: dict[int, dict[str, str]] = {}
        self._crashes: dict[int, int] = {}
        self._spent_ms: dict[str, float] = {}
        self._exhausted: dict[str, str] = {}
        self._answered = 0
        self._replaced: list[PoolProcess] = []
        self._processes: list[PoolProcess] = []
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        """Start as many processes as there are units for, and give them work."""
        self._distribute()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in list(self._processes):
            self._replace(process)
        for process in self._replaced:
            process.reap()
        self._selector.close()

    def run(self, beside: Iterator[None]) -> None:
        """Run all units, and beside them this process's own work: one item whenever no process has an answer.

        Return when every unit has a result, the work beside is done, and the processes have been told to end.
        """
        more_beside = True
        while more_beside or self._answered < len(self._units):
            self._distribute()
            events = self._selector.select(0 if more_beside else POLL_SECONDS)
            self._handle(events)
            if more_beside and not events:
                more_beside = any(True for _ in islice(beside, 1))
        for process in list(self._processes):
            self._replace(process)

    def _handle(self, events: Sequence[tuple[selectors.SelectorKey, int]]) -> None:
        for key, mask in events:
            if key.data not in self._processes:
                continue  # it was replaced in this turn
            if mask & selectors.EVENT_WRITE:
                self._send(key.data)
            else:
                self._receive(key.data)
        for process in [process for process in self._processes if self._is_overdue(process)]:
            self._handle_crash(process, hung=True)

    def _distribute(self) -> None:
        """Queue units at the processes that know them, and start processes for the others."""
        self._pending.extend(range(self._known, len(self._units)))
        self._known = len(self._units)
        for process in list(self._processes):
            self._fill_queue(process)
            if self._pending and not process.in_flight:
                self._replace(process)
        while self._pending and len(self._processes) < self._size:
            self._start_process()

    def _start_process(self) -> None:
        process = PoolProcess(self._units, self._process_control)
        self._processes.append(process)
        self._selector.register(process.answers, selectors.EVENT_READ, process)
        self._fill_queue(process)

    def _replace(self, process: PoolProcess) -> None:
        """End a process; the next one is started when there are units for it."""
        self._processes.remove(process)
        self._replaced.append(process)
        self._selector.unregister(process.answers)
        self._wait_to_send(process, waiting=False)
        process.kill()

    def _fill_queue(self, process: PoolProcess) -> None:
        while (
            self._pending and self._pending[0] < process.known_units and sum(process.in_flight.values()) < QUEUED_WEIGHT
        ):
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

    def _has_known_steps(self, index: int, values: Mapping[str, Any]) -> bool:
        """A process may answer only for its own units and their steps: a hostile file may have taken it over."""
        return values.keys() <= {name for name, _ in self._units[index].steps()}

    def _finish(self, index: int, result: UnitResult) -> None:
        self._answered += 1
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
        """End the process: its current step fails, and the units in flight go back to the queue."""
        self._replace(process)
        how = process.reap()
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

    def _fail_step(self, unit: int, step: int, seconds: float, how: str | None) -> None:
        """Let the step in which a process was killed fail, and charge its time. `how` is None if it was overdue.

        A process may have gone on to another step between the look at its position and its end; that step runs again.
        """
        name = self._name(unit, step)
        if how is None and name not in self._exhausted and seconds <= self._units[unit].deadline:
            return
        self._charge(name, seconds * 1000)
        self._skip.setdefault(unit, {})[name] = how or self._exhausted.get(name) or f"no answer within {seconds:.0f} s"
