"""Values of tracked repositories as their pages show them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from domain.runs import ProjectSummary
from domain.tracking.follows import Follow
from domain.tracking.repository import AnalysisStatus, RepositoryStatistics, TrackedRepository
from worker.client.runs.project_list import project_grade
from worker.export.html.values import fixed, line, moment, plain_number
from worker.http.caller import Caller
from worker.http.pages.layout.values import VERDICTS

_STATES = {
    AnalysisStatus.PENDING: ("low", "nothing found yet"),
    AnalysisStatus.IN_PROGRESS: ("medium", "being analysed"),
    AnalysisStatus.COMPLETED: ("good", "analysed"),
    AnalysisStatus.FAILED: ("high", "failed"),
}
"""A state as a class of the style sheet, and in words."""

STATE_WORDS = {str(status): words for status, (_, words) in _STATES.items()}

_TOLD = {"end": "when a run ends", "gate": "when the gate turns", "never": "not at all"}
FOLLOW_CHOICES = tuple(_TOLD.items())


async def repository_rows(visitor: Caller, repositories: Sequence[TrackedRepository]) -> list[dict[str, Any]]:
    """Return the rows of a list, each with the newest run that the visitor has of it, and whether the visitor follows.

    Two statements read these for all rows.
    """
    runs = await visitor.client.projects.of_urls(visitor.user_id, [each.url for each in repositories])
    follows = await visitor.client.repositories.follows(visitor.user_id, [each.repository_id for each in repositories])
    return [
        repository_row(each, runs.get(each.url), follows.get(each.repository_id), visitor.user_id)
        for each in repositories
    ]


def repository_row(
    repository: TrackedRepository, newest: ProjectSummary | None, follow: Follow | None, user_id: UUID
) -> dict[str, Any]:
    """Return a repository as lists and its page show it."""
    return {
        "repository_id": str(repository.repository_id),
        "name": line(repository.full_name, 120) or line(repository.url, 120),
        "host": line(repository.url.removeprefix("https://").partition("/")[0], 100),
        "state": _STATES[repository.analysis_status],
        "error": line(repository.last_error, 500) or None,
        "is_checking": repository.check_pending,
        "is_busy": repository.check_pending or repository.analysis_status is AnalysisStatus.IN_PROGRESS,
        "last_check": moment(repository.last_checked_at),
        "last_analysed": moment(repository.last_analyzed),
        "next_check": moment(repository.next_check_at),
        "schedule": line(repository.schedule, 100) or None,
        "run": None if newest is None else _run(newest),
        "told": None if follow is None else _TOLD[follow.settings.when],
        "is_own": repository.owner_id == user_id,
        "is_public": repository.is_public,
    }


def _run(newest: ProjectSummary) -> dict[str, Any]:
    return {
        "run_id": str(newest.run_id),
        "when": moment(newest.created_at),
        "branch": line(newest.branch, 80) or None,
        "grade": project_grade(newest),
        "quality": fixed(newest.quality_score),
        "verdict": VERDICTS.get(newest.review_verdict or "", ("unknown", "not evaluated")),
    }


def repository_facts(repository: TrackedRepository, statistics: RepositoryStatistics) -> list[tuple[str, str]]:
    """Return what is known of a repository, by name; what is not known is left out."""
    tags = ", ".join(f"{name}={value}" for name, values in repository.tags.items() for value in values)
    facts = {
        "Description": line(repository.description, 500),
        "Default branch": line(repository.default_branch, 200),
        "Language": line(repository.language, 100),
        "Tags": line(tags, 500),
        "Last analysed": moment(repository.last_analyzed),
        "Schedule": line(repository.schedule, 100) or "none",
        "Last check": moment(repository.last_checked_at) or "none yet",
        "Next check": moment(repository.next_check_at) or "when asked for, or by a push hook",
        "Checks failed in a row": str(repository.failures) if repository.failures else None,
        "Gate": "a policy of its own" if repository.settings.get("gate") else None,
        "Seen by": "all users" if repository.is_public else "you alone",
        **statistics_facts(statistics),
    }
    return [(name, value) for name, value in facts.items() if value]


def statistics_facts(statistics: RepositoryStatistics) -> Mapping[str, str]:
    """Return the numbers of a repository as of their last count."""
    return {
        "Runs": f"{statistics.runs:,}",
        "Runs of 7 days": f"{statistics.recent_runs:,}",
        "Insights": f"{statistics.insights:,}",
        "Followers": f"{statistics.followers:,}",
        "Quality": plain_number(statistics.latest_score, "-"),
        "Better by": plain_number(statistics.improvement, "-"),
    }
