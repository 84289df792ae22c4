"""Settings of repositories and followers, names of repositories, and delays."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.errors import InvalidInputError
from domain.gate.policy import DEFAULT_POLICY
from domain.tracking.backoff import failure_delay, refusal_delay, time_after_failure
from domain.tracking.follows import FollowSettings, FollowWhen
from domain.tracking.repository import RepositoryNames
from domain.tracking.settings import RepositorySettings

METRICS = ("lint", "dead_code", "security")
NOW = datetime(2026, 12, 1, tzinfo=UTC)


def test_settings_survive_their_json_form() -> None:
    settings = RepositorySettings(
        gate=DEFAULT_POLICY,
        branches=("main", "dev"),
        exclude=("docs/**",),
        notify_url="https://x.example/",
        public=True,
    )
    assert RepositorySettings.from_json(settings.to_json(), METRICS) == settings
    assert RepositorySettings.from_json({}, METRICS) == RepositorySettings()
    assert RepositorySettings().to_json() == {}


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"token": "x"},
        {"public": 1},
        {"branches": "main"},
        {"branches": ["-x"]},
        {"branches": ["a\0b"]},
        {"branches": [f"b{n}" for n in range(21)]},
        {"exclude": ["/etc"]},
        {"exclude": ["x" * 10_000]},
        {"notify_url": 5},
        {"gate": {}},
        {"\0" * 1000: 1},
    ],
)
def test_malformed_settings_are_refused_in_one_line(document: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        RepositorySettings.from_json(document, METRICS)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_settings_of_followers() -> None:
    settings = FollowSettings(when=FollowWhen.GATE, notify_url="https://x.example/")
    assert FollowSettings.from_json(settings.to_json()) == settings
    assert FollowSettings.from_json({}) == FollowSettings()


@pytest.mark.parametrize(
    "document", [[], {"when": "always"}, {"when": "end"}, {"when": []}, {"notify_url": {}}, {"then": 1}, {"when": None}]
)
def test_malformed_settings_of_followers_are_refused(document: Any) -> None:
    with pytest.raises(InvalidInputError):
        FollowSettings.from_json(document)


def test_both_writings_of_a_url_have_the_same_names() -> None:
    for url in ("https://host.example/Owner/repo", "https://host.example/Owner/repo.git"):
        names = RepositoryNames.of(url)
        assert (names.name, names.full_name, names.url) == ("repo", "Owner/repo", "https://host.example/Owner/repo")


def test_delays_grow_to_a_limit() -> None:
    minutes = [failure_delay(n).total_seconds() / 60 for n in (1, 2, 3, 4, 5, 6, 7, 1000)]
    assert minutes == [1, 4, 16, 64, 256, 1024, 1440, 1440]
    assert [refusal_delay(n).total_seconds() / 60 for n in (1, 2, 3, 4, 5, 1000)] == [1, 2, 4, 8, 15, 15]


def test_only_a_failure_that_may_pass_is_tried_again_before_the_schedule() -> None:
    week, minute = NOW + timedelta(days=7), NOW + timedelta(minutes=1)
    assert time_after_failure(NOW, 1, week, may_pass=True) == minute
    assert time_after_failure(NOW, 1, week, may_pass=False) == week
    assert time_after_failure(NOW, 3, minute, may_pass=False) == NOW + timedelta(minutes=16)
    assert time_after_failure(NOW, 1, None, may_pass=True) == minute
    assert time_after_failure(NOW, 1, None, may_pass=False) is None
