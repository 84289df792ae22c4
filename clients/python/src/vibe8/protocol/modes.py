"""The two ways of running a call: blocking and asynchronous. Calls themselves are written once, as coroutines."""

from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from vibe8.protocol.sender import Sender

T = TypeVar("T")


def run_blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and return its result. Works with and without an event loop."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("a blocking call has suspended")


@dataclass(frozen=True, slots=True)
class Blocking:
    """Runs calls in the caller's thread."""

    sender: Sender

    @staticmethod
    def run(work: Coroutine[Any, Any, T]) -> T:
        """Return what the call returns."""
        return run_blocking(work)

    @staticmethod
    def iterate(items: AsyncGenerator[T, None]) -> Iterator[T]:
        """Yield what the call yields, and close it when the caller reads no further."""
        with _closing(items):
            while True:
                try:
                    item = run_blocking(items.__anext__())
                except StopAsyncIteration:
                    return
                yield item


@contextmanager
def _closing(items: AsyncGenerator[Any, None]) -> Iterator[None]:
    try:
        yield
    finally:
        run_blocking(items.aclose())


@dataclass(frozen=True, slots=True)
class Asynchronous:
    """Runs calls on the caller's event loop."""

    sender: Sender

    @staticmethod
    def run(work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """Return the coroutine."""
        return work

    @staticmethod
    def iterate(items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """Return the generator."""
        return items
