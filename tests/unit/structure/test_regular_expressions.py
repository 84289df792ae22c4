"""No text makes a regular expression of ours slow: its time grows with the text's length, and not with the square."""

import re
import signal
import time
from typing import Any

import pytest

from tests.unit.structure.regular_expressions import (
    LIMITS,
    Use,
    all_uses,
    ends_with_failure,
    possessive_groups,
    worst_texts,
)

SMALL, MEDIUM, LARGE = 250, 8_000, 1_000_000
MAX_SECONDS = 10.0
"""For LARGE characters. A pattern whose time is that of the square takes minutes."""

USES = all_uses()


class _TooSlowError(Exception):
    """A pattern takes longer than it may: it is interrupted, because it could go on for ever."""


def _interrupt(_number: int, _frame: object) -> None:
    raise _TooSlowError


def seconds(use: Use, text: Any, limit: float) -> float:
    """Return the seconds of CPU time that the pattern takes for the text. Fails beyond `limit`."""
    before = signal.signal(signal.SIGVTALRM, _interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, limit)
    began = time.process_time()
    try:
        use.apply(text)
    except _TooSlowError:
        pytest.fail(f"no end within {limit:g} s: {use.pattern.pattern!r}")
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return time.process_time() - began


def test_all_patterns_and_their_methods_are_found() -> None:
    assert len(USES) > 60
    assert [use.place for use in USES if not use.methods] == []


@pytest.mark.parametrize("use", USES, ids=lambda use: use.place)
def test_possessive_groups_go_back_before_python_3_11_5(use: Use) -> None:
    """There an iteration of `(?:...)*+` that fails midway leaves its place, unless the alternative `(?!)` is last."""
    assert [str(body) for body in possessive_groups(use.pattern) if not ends_with_failure(body)] == []


def test_possessive_groups_are_found() -> None:
    assert sum(bool(list(possessive_groups(use.pattern))) for use in USES) > 4


@pytest.mark.parametrize("pattern", [r"(a+)+b", r"\s*\s*\s*x"])
def test_a_pattern_that_goes_on_for_ever_fails_soon(pattern: str) -> None:
    use = Use("none", re.compile(pattern), frozenset({"match"}))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        test_a_megabyte_of_its_worst_text_takes_seconds(use)


@pytest.mark.parametrize("use", USES, ids=lambda use: use.place)
def test_a_megabyte_of_its_worst_text_takes_seconds(use: Use) -> None:
    """The texts that take longest are made longer step by step, so that a bad pattern fails soon."""
    makers = list(worst_texts(use.pattern))
    sizes = [(SMALL, 4), (MEDIUM, 1), (LARGE, 0)] if use.place not in LIMITS else [(LIMITS[use.place], 0)]
    for size, kept in sizes:
        allowed = MAX_SECONDS * max(size / LARGE, 0.002)
        limit = 2 * max(allowed, 0.5)
        timed = sorted(((seconds(use, make(size), limit), number) for number, make in enumerate(makers)), reverse=True)
        slowest, number = timed[0]
        # A short text may be disturbed by other programs.
        assert slowest < allowed or seconds(use, makers[number](size), limit) < allowed, repr(makers[number](60))
        makers = [makers[number] for _, number in timed[:kept]]
