"""Transitions, submission limits and the backoff of retries."""

import itertools

import pytest

from domain.jobs import JobStatus, Transition, backoff_seconds

LEGAL = {
    ("pending", "running"), ("pending", "failed"), ("running", "completed"), ("running", "failed"),
    ("running", "pending"), ("failed", "pending"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), list(itertools.product(JobStatus, JobStatus)))
def test_only_legal_changes_of_status_are_transitions(before: JobStatus, after: JobStatus) -> None:
    found = [change for change in Transition if (change.before, change.after) == (before, after)]
    assert len(found) == ((before, after) in LEGAL)


def test_only_the_running_state_holds_a_lease() -> None:
    """Every write of an attempt requires the state that a claim leads to."""
    ends_of_an_attempt = {Transition.COMPLETE, Transition.FAIL, Transition.REQUEUE}
    assert {change for change in Transition if change.before is Transition.CLAIM.after} == ends_of_an_attempt
    assert {change.before for change in ends_of_an_attempt} == {Transition.CLAIM.after}


def test_backoff_grows_to_its_maximum() -> None:
    assert [backoff_seconds(attempt, 1.0) for attempt in (1, 2, 3, 4, 9)] == [5, 20, 80, 300, 300]
    assert backoff_seconds(1, 0.0) == 2.5
