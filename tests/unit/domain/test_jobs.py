import itertools

import pytest

from domain.errors import IllegalTransitionError, LimitExceededError
from domain.jobs import JobStatus, SubmissionLimits, require_transition
from domain.retry import backoff_seconds

LEGAL = {
    ("pending", "running"), ("pending", "failed"), ("running", "completed"), ("running", "failed"),
    ("running", "pending"), ("failed", "pending"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), list(itertools.product(JobStatus, JobStatus)))
def test_transitions(before: JobStatus, after: JobStatus) -> None:
    if (before, after) in LEGAL:
        require_transition(before, after)
    else:
        with pytest.raises(IllegalTransitionError, match=f"a {before} job cannot become {after}"):
            require_transition(before, after)


def test_limits() -> None:
    limits = SubmissionLimits(max_unfinished=2, max_per_day=10)
    limits.check(unfinished=1, today=9)
    with pytest.raises(LimitExceededError, match="2 unfinished jobs"):
        limits.check(unfinished=2, today=0)
    with pytest.raises(LimitExceededError, match="10 jobs today"):
        limits.check(unfinished=0, today=10)


def test_backoff_grows_to_its_cap() -> None:
    assert [backoff_seconds(attempt, 1.0) for attempt in (1, 2, 3, 4, 9)] == [5, 20, 80, 300, 300]
    assert backoff_seconds(1, 0.0) == 2.5
