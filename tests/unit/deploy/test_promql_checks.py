"""The PromQL checks of these tests refuse invalid expressions."""

import pytest

from tests.unit.deploy.promql import check, exposed, parse


def test_a_valid_expression_is_parsed() -> None:
    expression = check('sum by (kind) (rate(vibe8_attempts_finished_total{outcome=~"failed|lost"}[5m])) > 0.5')
    (series,) = expression.series
    assert series.name == "vibe8_attempts_finished_total"
    assert series.matchers == (("outcome", "=~", "failed|lost"),)
    assert series.function == "rate"
    assert expression.lists == ("kind",)


def test_exposed_lists_series_with_kind_and_labels() -> None:
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
def test_a_malformed_expression_is_refused(text: str) -> None:
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
def test_an_expression_that_matches_no_series_is_refused(text: str) -> None:
    with pytest.raises(AssertionError):
        check(text)
