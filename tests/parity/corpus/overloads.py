"""Stub-like code."""
from __future__ import annotations
from typing import overload, Protocol, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

@overload
def f(x: int) -> int: ...
@overload
def f(x: str) -> str: ...
def f(x):
    return x

class P(Protocol):
    a: int
    b: Callable[[int], dict[str, int]] | None = None
    def m(self) -> int: ...
    @property
    def n(self) -> str: ...
