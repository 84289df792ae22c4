"""The pool of processes while its units grow, beside other work of this process."""

import os
from collections.abc import Iterator
from typing import ClassVar

import pytest

from collectors.engine.pool.process_pool import ProcessPool
from collectors.engine.pool.steps import Step, Unit, UnitResult
from infrastructure.child_process.process_control import SystemProcessControl


class NumberUnit:
    """A unit that returns what its list holds in the process that runs it, and the process."""

    weight: ClassVar[float] = 0.1
    deadline: ClassVar[float] = 60.0

    def __init__(self, known: list[int]) -> None:
        self._known = known

    def steps(self) -> Iterator[Step]:
        yield "", lambda: [list(self._known), os.getpid()]


@pytest.mark.parametrize("processes", [1, 3])
def test_unit_that_a_result_adds_runs_in_a_process_that_knows_what_was_known_then(processes: int) -> None:
    known: list[int] = []
    units: list[Unit] = [NumberUnit(known)]
    values: list[tuple[list[int], int]] = []

    def on_result(index: int, result: UnitResult) -> None:
        seen, pid = result.values[""]
        values.append((seen, pid))
        if len(units) < 5:
            known.append(index)
            units.append(NumberUnit(known))

    control = SystemProcessControl()
    with ProcessPool(units, processes=processes, process_control=control, budget_ms=1e9, on_result=on_result) as pool:
        pool.run(beside=iter(()))
    assert [seen for seen, _ in values] == [[], [0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
    assert len({pid for _, pid in values} | {os.getpid()}) == 6


def test_work_beside_the_processes_is_done_and_may_add_units() -> None:
    units: list[Unit] = [NumberUnit([])]
    results: list[int] = []
    done: list[int] = []

    def beside() -> Iterator[None]:
        for number in range(3):
            done.append(number)
            yield
        units.append(NumberUnit([7]))

    control = SystemProcessControl()
    with ProcessPool(
        units, processes=2, process_control=control, budget_ms=1e9, on_result=lambda index, _: results.append(index)
    ) as pool:
        pool.run(beside=beside())
    assert done == [0, 1, 2]
    assert sorted(results) == [0, 1]
