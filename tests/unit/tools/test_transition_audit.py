"""The table of faults, made from the properties of the test reports."""

from types import SimpleNamespace

from tests.faults.support.transition_audit import costs, table


def test_costs_of_one_fault_in_several_tests_are_added() -> None:
    reports = [
        SimpleNamespace(user_properties=[("fault", ["b", 2, 0, 0, None])]),
        SimpleNamespace(user_properties=[("other", 1), ("fault", ("A", 1, 1, 0, 3.0))]),
        SimpleNamespace(user_properties=[("fault", ["b", 3, 0, 1, 35.25])]),
        SimpleNamespace(user_properties=[]),
    ]
    assert table(costs(reports))[2:] == ["| A | 1 | 1 | 0 | 3.0 s |", "| b | 5 | 0 | 1 | 35.2 s |"]
