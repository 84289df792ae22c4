"""Plans: limits of the tiers, what they refuse, and their JSON."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInputError, LimitExceededError
from domain.plans import LIMIT_NAMES, MAX_LIMIT, MAX_TEXT, PlanLimits, Plans, Tier, Usage, default_plans, parse_plans

NOW = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
DEFAULTS = default_plans(unfinished_jobs=5, jobs_per_day=100, upload_mb=5)


def usage(**values: Any) -> Usage:
    return Usage(**{"unfinished": 0, "today": 0, "now": NOW, **values})


def test_each_limit_is_reached_and_not_passed() -> None:
    limits = PlanLimits(tier="pro", unfinished_jobs=2, jobs_per_day=10, analyses_per_month=30)
    limits.check_submission(usage(unfinished=1, today=9, analyses=29))
    limits.check_submission(usage(), new=2)
    for found, words in (
        (usage(unfinished=2), "2 unfinished jobs (limit 2, plan pro); wait for one"),
        (usage(today=10), "10 jobs today (limit 10, plan pro); try again after 2027-01-01 00:00 UTC"),
        (usage(analyses=30), "30 analyses this month (limit 30, plan pro); try again after 2027-01-01 00:00 UTC"),
    ):
        with pytest.raises(LimitExceededError) as caught:
            limits.check_submission(found)
        assert words in str(caught.value)
    with pytest.raises(LimitExceededError, match=r"28 analyses .* and want 3 more"):
        PlanLimits(analyses_per_month=30).check_submission(usage(analyses=28), new=3)


def test_waiting_is_not_advised_where_it_cannot_help() -> None:
    for limits, new, words in (
        (PlanLimits(unfinished_jobs=5), 12, "submit at most 5 at once, or ask an operator for a higher limit"),
        (PlanLimits(jobs_per_day=3), 4, "submit at most 3 at once"),
        (PlanLimits(analyses_per_month=0), 1, "waiting does not help: ask an operator"),
    ):
        with pytest.raises(LimitExceededError, match=words) as caught:
            limits.check_submission(usage(), new=new)
        assert "wait for" not in str(caught.value)
        assert "try again" not in str(caught.value)


def test_an_error_has_used_limit_and_when_it_begins_again() -> None:
    with pytest.raises(LimitExceededError) as caught:
        PlanLimits(analyses_per_month=7).check_submission(usage(analyses=7))
    assert (caught.value.used, caught.value.limit) == (7, 7)
    assert caught.value.resets_at == datetime(2027, 1, 1, tzinfo=UTC)
    with pytest.raises(LimitExceededError) as caught:
        PlanLimits(jobs_per_day=1).check_submission(usage(today=1, now=datetime(2024, 2, 28, 5, tzinfo=UTC)))
    assert caught.value.resets_at == datetime(2024, 2, 29, tzinfo=UTC)
    with pytest.raises(LimitExceededError) as caught:
        PlanLimits(unfinished_jobs=1).check_submission(usage(unfinished=1))
    assert caught.value.resets_at is None


def test_reports_and_repositories_have_limits_of_their_own() -> None:
    limits = PlanLimits(reports_per_month=2, repositories=3)
    limits.check_report(usage(reports=1))
    with pytest.raises(LimitExceededError, match="2 reports this month"):
        limits.check_report(usage(reports=2))
    limits.check_repositories(2)
    with pytest.raises(LimitExceededError, match=r"3 repositories \(limit 3, plan free\); remove one"):
        limits.check_repositories(3)


def test_null_is_unlimited_and_0_is_nothing() -> None:
    PlanLimits().check_submission(usage(unfinished=10**9, today=10**9, analyses=10**9), new=1000)
    PlanLimits().check_report(usage(reports=10**9))
    PlanLimits().check_repositories(10**9)
    for name in ("unfinished_jobs", "jobs_per_day", "analyses_per_month"):
        with pytest.raises(LimitExceededError):
            PlanLimits(**{name: 0}).check_submission(usage())  # type: ignore[arg-type]


@given(st.datetimes(datetime(1970, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - bounds
def test_a_month_ends_on_the_first_of_the_next(now: datetime) -> None:
    ends = usage(now=now).month_ends
    assert (ends.day, ends.hour, ends.minute, ends.second, ends.microsecond) == (1, 0, 0, 0, 0)
    assert timedelta(0) < ends - now <= timedelta(days=31)
    assert (ends - timedelta(microseconds=1)).strftime("%Y-%m") == usage(now=now).month == now.strftime("%Y-%m")


def test_the_month_is_that_of_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    found = usage(now=datetime(2027, 1, 1, 8, 59, tzinfo=tokyo))
    assert found.month == "2026-12"
    assert found.day_ends == found.month_ends == datetime(2027, 1, 1, tzinfo=UTC)


def test_the_defaults_of_free_are_given_and_no_tier_has_less() -> None:
    free = DEFAULTS.of("free")
    assert (free.unfinished_jobs, free.jobs_per_day, free.upload_mb, free.analyses_per_month) == (5, 100, 5, None)
    for earlier, later in zip(list(Tier), list(Tier)[1:], strict=False):
        for name in LIMIT_NAMES:
            before, after = getattr(DEFAULTS.of(earlier), name), getattr(DEFAULTS.of(later), name)
            assert after is None or (before is not None and before <= after), (later, name)
    assert {DEFAULTS.of(tier).tier for tier in Tier} == set(Tier)


def test_a_tier_of_a_newer_release_has_the_limits_of_free() -> None:
    found = DEFAULTS.of("platinum")
    assert (found.tier, found.unfinished_jobs) == ("platinum", 5)


def test_what_is_named_changes_and_the_rest_stays() -> None:
    changed = parse_plans(
        '{"pro": {"analyses_per_month": 0, "repositories": null}, "team": {"upload_mb": 50}}', DEFAULTS
    )
    pro = changed.of("pro")
    assert (pro.analyses_per_month, pro.repositories) == (0, None)
    assert pro.unfinished_jobs == DEFAULTS.of("pro").unfinished_jobs
    assert changed.of("free") == DEFAULTS.of("free")
    assert changed.upload_bytes == 50 * 1024 * 1024
    assert parse_plans("{}", DEFAULTS) == DEFAULTS
    assert parse_plans(json.dumps({"free": DEFAULTS.of("free").to_json()}), DEFAULTS) == DEFAULTS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 9_000, "not JSON"),
        (" " * (MAX_TEXT + 1), "more than"),
        ("[]", "must be a JSON object"),
        ('"pro"', "must be a JSON object"),
        ('{"pro": 5}', "pro must be a JSON object"),
        ('{"gold": {}}', "unknown tier; they are free, pro, team, enterprise"),
        ('{"pro": {"jobs": 5}}', "pro has an unknown limit; they are analyses_per_month"),
        ('{"pro": {"tier": "free"}}', "pro has an unknown limit"),
        ('{"pro": {"jobs_per_day": -1}}', "pro.jobs_per_day must be 0 to"),
        ('{"pro": {"jobs_per_day": 1.5}}', "pro.jobs_per_day must be 0 to"),
        ('{"pro": {"jobs_per_day": true}}', "pro.jobs_per_day must be 0 to"),
        ('{"pro": {"jobs_per_day": "5"}}', "pro.jobs_per_day must be 0 to"),
        ('{"pro": {"jobs_per_day": NaN}}', "pro.jobs_per_day must be 0 to"),
        (f'{{"pro": {{"jobs_per_day": {MAX_LIMIT + 1}}}}}', "pro.jobs_per_day must be 0 to"),
        ('{"pro": {"upload_mb": 0}}', "pro.upload_mb must be 1 to 256"),
        ('{"pro": {"upload_mb": 257}}', "pro.upload_mb must be 1 to 256"),
        ('{"pro": {"\\u0000\\ud800": 1}}', "pro has an unknown limit"),
    ],
)
def test_other_values_are_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_plans(text, DEFAULTS)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


def test_an_upload_without_limit_has_the_limit_of_a_statement() -> None:
    plans = parse_plans('{"enterprise": {"upload_mb": null}}', DEFAULTS)
    assert plans.of("enterprise").upload_bytes == plans.upload_bytes == 256 * 1024 * 1024
    assert Plans.same(PlanLimits(upload_mb=3)).upload_bytes == 3 * 1024 * 1024
