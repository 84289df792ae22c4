"""A unit of work and its steps: run here, in whatever process this is, on a stack as deep as the parser may want."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgpack

from collectors.tools.tool_launcher import supervisor_kills_descendants
from domain.text import one_line

STACK_BYTES = 512 * 1024 * 1024
RECURSION_LIMIT = 100_000

Step = tuple[str, Callable[[], Any]]


class Unit(Protocol):
    """A piece of work: `weight` is its share of a lane's queue, `deadline` the seconds one of its steps may take.

    The first step is the foundation of the others: where it cannot be survived, all of the unit is lost.
    """

    @property
    def weight(self) -> float: ...  # noqa: D102
    @property
    def deadline(self) -> float: ...  # noqa: D102
    def steps(self) -> Iterable[Step]:
        """Name and thunk of each step, in order; a thunk returns plain data for msgpack."""
        ...


@dataclass(slots=True)
class UnitResult:
    """Per step: its value, or why there is none; and the CPU milliseconds it took."""

    values: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    cpu_ms: dict[str, float] = field(default_factory=dict)


def run_unit(unit: Unit, skip: Mapping[str, str], mark: Callable[[int], None]) -> UnitResult:
    """Run its steps; `mark` is told the position of each, and `skip` names those to leave out, and says why."""
    result = UnitResult()
    for position, (name, step) in enumerate(unit.steps()):
        if name in skip:
            result.failures[name] = skip[name]
            continue
        mark(position)
        started = time.thread_time()
        try:
            result.values[name] = step()
        except RecursionError:
            result.failures[name] = "nested too deeply"
        except MemoryError:
            result.failures[name] = "out of memory"
        except Exception as error:  # noqa: BLE001 - whatever a tool raises costs this step only
            result.failures[name] = one_line(f"{type(error).__name__}: {error}", 200)
        result.cpu_ms[name] = (time.thread_time() - started) * 1000
    return result


def run_here(units: Sequence[Unit], on_result: Callable[[int, UnitResult], None]) -> None:
    """Run them in order, with nobody to survive what one of them may do to this process.

    Values are what they would be if they came from elsewhere.
    """

    def work() -> None:
        with supervisor_kills_descendants():
            for index, unit in enumerate(units):
                result = run_unit(unit, {}, lambda _: None)
                result.values = unpack(pack(result.values))
                on_result(index, result)

    on_deep_stack(work)


def on_deep_stack(work: Callable[[], None]) -> None:
    """Do the work in a thread of its own and wait for it. Raises what it raises."""
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
    """Plain data as bytes; text may hold lone surrogates."""
    packed: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogatepass")
    return packed


def unpack(data: bytes | memoryview) -> Any:
    """The inverse, save that tuples have become lists. Raises ValueError and msgpack's own errors."""
    return msgpack.unpackb(data, raw=False, strict_map_key=False, unicode_errors="surrogatepass")
