"""Text output of tracked repositories."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape

from domain.text import JSON, one_line
from worker.cli.output.grid import Grid
from worker.cli.output.jobs import SHORT_ID
from worker.cli.output.writer import print_line

_STATUS_STYLES = {"completed": "green", "failed": "red"}


def show_repositories(console: Console, repositories: Sequence[Mapping[str, JSON]]) -> None:
    """Print one line for each repository, or `no repositories`."""
    if not repositories:
        print_line(console, "no repositories")
        return
    grid = Grid(headings=("id", "status", "schedule", "next check", "last analysed", "branches", "url", "error"))
    for each in repositories:
        grid.rows.append(
            (
                each["id"][:SHORT_ID],
                _styled(each["analysis_status"]),
                escape(each["schedule"] or "-"),
                _minute(each["next_check_at"]),
                _minute(each["last_analyzed"]),
                escape(one_line(", ".join(each["heads"]) or "-", 40)),
                escape(each["url"]),
                escape(one_line(each["last_error"] or "-", 200)),
            )
        )
    grid.show(console)


def show_repository(console: Console, repository: Mapping[str, JSON]) -> None:
    """Print the fields of one repository."""
    fields: dict[str, JSON] = {
        "repository": repository["id"],
        "url": repository["url"],
        "status": repository["analysis_status"],
        "error": repository["last_error"],
        "description": repository["description"],
        "heads": ", ".join(f"{branch} {commit[:SHORT_ID]}" for branch, commit in repository["heads"].items()),
        "schedule": repository["schedule"],
        "last check": _minute(repository["last_checked_at"]),
        "next check": _minute(repository["next_check_at"]),
        "last analysed": _minute(repository["last_analyzed"]),
        "tags": ", ".join(f"{name}={value}" for name, values in repository["tags"].items() for value in values),
        **_settings(repository["settings"]),
        "token": "stored" if repository["has_token"] else None,
        "push hook": "has a secret" if repository["has_hook_secret"] else None,
        **_numbers(repository.get("statistics")),
    }
    shown = {name: value for name, value in fields.items() if value not in (None, "", "-")}
    width = max(map(len, shown))
    for name, value in shown.items():
        print_line(console, f"{name:<{width}}  {one_line(str(value), 500)}")


def show_trending(console: Console, repositories: Sequence[Mapping[str, JSON]]) -> None:
    """Print one line for each repository with its numbers, or `no repositories`."""
    if not repositories:
        print_line(console, "no repositories")
        return
    names = ("trending", "followers", "runs", "recent_runs", "latest_score", "improvement")
    headings = ("trending", "followers", "runs", "last 7 days", "quality", "better by")
    grid = Grid(headings=("id", *headings, "url"), numbers=frozenset(headings))
    for each in repositories:
        numbers = (_number(each["statistics"][name]) for name in names)
        grid.rows.append((each["id"][:SHORT_ID], *numbers, escape(each["url"])))
    grid.show(console)


def show_follows(console: Console, follows: Sequence[Mapping[str, JSON]]) -> None:
    """Print one line for each repository that the user follows, or `no repositories`."""
    if not follows:
        print_line(console, "no repositories")
        return
    grid = Grid(headings=("repository", "since", "told", "where"))
    for each in follows:
        settings = each["notification_settings"]
        where = escape(one_line(settings.get("notify_url") or "-", 200))
        grid.rows.append((each["repository_id"], _minute(each["followed_at"]), settings["when"], where))
    grid.show(console)


def _settings(settings: Mapping[str, JSON]) -> dict[str, JSON]:
    return {
        "branches": ", ".join(settings.get("branches", ())),
        "excluded": ", ".join(settings.get("exclude", ())),
        "gate": "a policy of its own" if "gate" in settings else None,
        "webhook": settings.get("notify_url"),
        "public": "yes" if settings.get("public") else None,
    }


def _numbers(statistics: Mapping[str, JSON] | None) -> dict[str, JSON]:
    if statistics is None:
        return {}
    return {
        "runs": statistics["runs"],
        "quality": _number(statistics["latest_score"]),
        "insights": statistics["insights"],
        "followers": statistics["followers"],
    }


def _styled(status: str) -> str:
    style = _STATUS_STYLES.get(status)
    return status if style is None else f"[{style}]{status}[/{style}]"


def _minute(moment: str | None) -> str:
    return "-" if moment is None else f"{moment[:16]}Z"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)
