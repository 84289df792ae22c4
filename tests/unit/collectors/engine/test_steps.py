"""Units of work in one process: those that wait for a tool run beside the others."""

import threading
from collections.abc import Callable
from typing import Any

from collectors.engine.pool.steps import UnitResult, run_in_this_process
from collectors.engine.units import SingleStep
from collectors.tools.tool_launcher import preexec_function
from infrastructure.child_process.process_control import SystemProcessControl


def unit(name: str, run: Callable[[], Any]) -> SingleStep:
    return SingleStep(name, run, deadline=60.0, weight=1.0)


def results_of(*units: SingleStep, native: set[int]) -> dict[int, UnitResult]:
    found: dict[int, UnitResult] = {}
    run_in_this_process(units, found.__setitem__, native=native)
    return found


def test_unit_that_waits_does_not_delay_the_others() -> None:
    other_has_run = threading.Event()
    found = results_of(unit("tool", lambda: other_has_run.wait(60)), unit("file", other_has_run.set), native={0})
    assert (found[0].values, found[1].values) == ({"tool": True}, {"file": None})


def test_unit_that_runs_beside_others_may_fail() -> None:
    found = results_of(unit("tool", lambda: 1 // 0), unit("file", lambda: 1), native={0})
    assert "ZeroDivisionError" in found[0].failures["tool"]
    assert found[1].values == {"file": 1}


def test_tool_that_runs_beside_others_needs_no_parent_death_signal() -> None:
    control = SystemProcessControl()
    found = results_of(unit("tool", lambda: preexec_function(control) is None), native={0})
    assert found[0].values == {"tool": True}
