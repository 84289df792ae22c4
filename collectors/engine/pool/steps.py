"""Units of work and their steps, run in this process on a stack deep enough for the parser."""

import sys
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgpack

from collectors.tools.tool_launcher import supervisor_kills_descendants
from domain.text import one_line

STACK_BYTES = 512 * 1024 * 1024
RECURSION_LIMIT = 100_000
TOOL_THREAD_STACK_BYTES = 16 * 1024 * 1024

FILE_STEP = ""
"""The name of a file's first step, which reads and parses it.

Its value is `[parse error or None, source lines or None, digest of its bytes, marked as generated]`.
"""

Step = tuple[str, Callable[[], Any]]
"""A name and a function that returns plain data for msgpack."""


class Unit(Protocol):
    """A piece of work in steps.

    `weight` is its share of a process's queue; `deadline` is how many seconds one step may take. The other steps
    build on the first one: if the first is left out, for instance because it crashed a process, the whole unit fails.
    """

    @property
    def weight(self) -> float: ...  # noqa: D102
    @property
    def deadline(self) -> float: ...  # noqa: D102
    def steps(self) -> Iterable[Step]:
        """Yield the steps in order."""
        ...


OUT_OF_TIME = "out of time"


def out_of_time(name: str, seconds: float) -> str:
    """Return why steps of this name are skipped once they have used their budget (seconds)."""
    return f"{OUT_OF_TIME} after {seconds:g} s{' of reading and parsing' if name == FILE_STEP else ''}"


@dataclass(slots=True)
class UnitResult:
    """The outcome of each step, by name: its value or the reason of its failure, and its CPU time in milliseconds."""

    values: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    cpu_ms: dict[str, float] = field(default_factory=dict)


def run_unit(unit: Unit, skip: Mapping[str, str], on_step: Callable[[int], None]) -> UnitResult:
    """Run the steps of a unit.

    `skip` maps the steps to leave out to the reason, which becomes their failure. `on_step` is called with the
    position of each step before it runs. No exception of a step is raised; it becomes the step's failure. If the first
    step is left out, so are all others, for the same reason.
    """
    result = UnitResult()
    for position, (name, step) in enumerate(unit.steps()):
        if position == 0 and name in skip:
            skip = {each: skip[name] for each, _ in unit.steps()}
        if name in skip:
            result.failures[name] = skip[name]
            continue
        on_step(position)
        started = time.thread_time()
        try:
            result.values[name] = step()
        except RecursionError:
            result.failures[name] = "nested too deeply"
        except MemoryError:
            result.failures[name] = "out of memory"
        except Exception as error:  # noqa: BLE001 - an error of a tool must fail its step only
            result.failures[name] = one_line(f"{type(error).__name__}: {error}", 200)
        result.cpu_ms[name] = (time.thread_time() - started) * 1000
    return result


def run_in_this_process(
    units: Sequence[Unit],
    on_result: Callable[[int, UnitResult], None],
    *,
    native: Container[int] = (),
    beside: Iterable[None] = (),
) -> None:
    """Run the units in order, without the protection of a pool process: a crash ends this process.

    The units at the positions `native` wait for a process of a tool: a thread runs them beside the others. `beside` is
    exhausted first. Units that it or `on_result` appends run after all of these. Values pass through msgpack, so that
    they equal those of a pool process.
    """

    def run(index: int) -> UnitResult:
        result = run_unit(units[index], {}, lambda _: None)
        result.values = unpack(pack(result.values))
        return result

    def work() -> None:
        done = 0
        for _ in beside:
            pass
        while done < len(units):
            known = range(done, len(units))
            with (
                supervisor_kills_descendants(),
                _running_beside(run, [index for index in known if index in native]) as others,
            ):
                for index in known:
                    if index not in native:
                        on_result(index, run(index))
            for index, result in others.items():
                on_result(index, result)
            done = known.stop

    run_on_deep_stack(work)


@contextmanager
def _running_beside(run: Callable[[int], UnitResult], positions: Sequence[int]) -> Iterator[Mapping[int, UnitResult]]:
    """Run these units in a thread; at the end of the block it has ended, and the mapping is complete."""
    results: dict[int, UnitResult] = {}

    def work() -> None:
        for index in positions:
            results[index] = run(index)

    threading.stack_size(TOOL_THREAD_STACK_BYTES)
    # The thread gets a copy of the context, in which the supervisor is known to kill descendants.
    thread = threading.Thread(target=copy_context().run, args=(work,), daemon=True)
    if positions:
        thread.start()
    try:
        yield results
    finally:
        if positions:
            thread.join()


def run_on_deep_stack(work: Callable[[], None]) -> None:
    """Run the function in a thread with a deep stack and wait for it. Raises what it raises."""
    raised: list[BaseException] = []

    def attempt() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again below
            raised.append(error)

    depth, size = sys.getrecursionlimit(), threading.stack_size(STACK_BYTES)
    sys.setrecursionlimit(RECURSION_LIMIT)
    try:
        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(size)
        sys.setrecursionlimit(depth)
    if raised:
        raise raised[0]


def pack(value: Any) -> bytes:
    """Encode plain data with msgpack. Strings may hold lone surrogates."""
    packed: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogatepass")
    return packed


def unpack(data: bytes | memoryview) -> Any:
    """Decode what `pack` returned; tuples have become lists. Raises ValueError and msgpack's own errors."""
    return msgpack.unpackb(data, raw=False, strict_map_key=False, unicode_errors="surrogatepass")
