import pytest

from domain.metrics.packages import with_latest_versions


def row(package: str, current: str | None = None) -> dict[str, object]:
    return {
        "package": package,
        "installed": True,
        "outdated": None,
        "current_version": current,
        "latest_version": None,
    }


@pytest.mark.parametrize(
    ("current", "latest", "outdated"),
    [("1", "2", True), ("2", "2", False), ("3", "2", False), (None, "2", None), ("1", None, None), ("odd", "2", None)],
)
def test_outdated_is_null_unless_both_versions_are_known(
    current: str | None, latest: str | None, outdated: bool | None
) -> None:
    def is_older(before: str, after: str) -> bool | None:
        return None if before == "odd" else int(before) < int(after)

    assert with_latest_versions([row("a", current)], {"a": latest}, is_older) == [
        {**row("a", current), "latest_version": latest, "outdated": outdated}
    ]


def test_package_without_an_answer_stays_unknown() -> None:
    before = [row("a", "1"), row("b", "1")]
    after = with_latest_versions(before, {"b": "1"}, lambda _before, _after: False)
    assert after == [row("a", "1"), {**row("b", "1"), "latest_version": "1", "outdated": False}]
    assert before == [row("a", "1"), row("b", "1")]
