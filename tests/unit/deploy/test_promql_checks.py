"""The checks themselves: what is wrong is refused."""

import pytest

from tests.unit.deploy.promql import check, exposed, parse


def test_a_good_expression_is_understood() -> None:
    expression = check('sum by (kind) (rate(vibe8_attempts_finished_total{outcome=~"failed|lost"}[5m])) > 0.5')
    (series,) = expression.series
    assert series.name == "vibe8_attempts_finished_total"
    assert series.matchers == (("outcome", "=~", "failed|lost"),)
    assert series.function == "rate"
    assert expression.lists == ("kind",)


def test_what_a_replica_tells() -> None:
    known = exposed()
    assert known["vibe8_jobs"] == ("gauge", {"status"})
    assert known["vibe8_claims_total"] == ("counter", {"result"})
    assert known["vibe8_stage_duration_seconds_bucket"] == ("counter", {"stage", "le"})
    assert known["process_start_time_seconds"][0] == "gauge"
    assert "vibe8_claims" not in known


@pytest.mark.parametrize(
    "text",
    [
        "sum(vibe8_ready",
        "sum(vibe8_ready))",
        'vibe8_jobs{status="pending"',
        'vibe8_jobs{status "pending"}',
        "vibe8_jobs{status=pending}",
        "vibe8_ready ~ 1",
        "vibe8_ready[5m",
        "sum by kind (vibe8_ready)",
        "sum by (kind (vibe8_ready))",
    ],
)
def test_what_cannot_be_read(text: str) -> None:
    with pytest.raises(AssertionError):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "1 > 0",
        "sum(vibe8_claim_total)",
        "rate(vibe8_claims[5m])",
        "averaged(vibe8_ready)",
        'vibe8_jobs{state="pending"}',
        "sum by (status) (vibe8_ready)",
        "rate(vibe8_ready[5m])",
        "rate(vibe8_claims_total)",
        "sum(vibe8_claims_total[5m])",
        "vibe8_claims_total > 5",
    ],
)
def test_what_no_replica_tells(text: str) -> None:
    with pytest.raises(AssertionError):
        check(text)
