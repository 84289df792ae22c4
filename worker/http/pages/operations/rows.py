"""Workers, counts, checks and webhook deliveries as the pages for operators show them."""

from typing import Any

from domain.statistics.ends import MINUTES, RECENT_MINUTES, Ends
from domain.tracking.due_checks import DueCheck
from domain.tracking.repository import AnalysisStatus
from domain.webhooks import DeliveryState, OwnedDelivery
from domain.workers import LOST, READY, WorkerInfo
from worker.client.operators.fleet import QueueState, worker_to_json
from worker.export.html.charts.lines import line_chart
from worker.export.html.values import line, moment

_CHECK_CHIPS = {
    AnalysisStatus.PENDING: "low",
    AnalysisStatus.IN_PROGRESS: "medium",
    AnalysisStatus.COMPLETED: "good",
    AnalysisStatus.FAILED: "high",
}
_DELIVERY_CHIPS = {DeliveryState.WAITING: "medium", DeliveryState.DELIVERED: "good", DeliveryState.GIVEN_UP: "high"}
_SHOWN_APART = ("replica_id", "jobs", "state", "slots")


def queue_values(state: QueueState) -> dict[str, Any]:
    """Return the counts of the queue."""
    return {
        "paused": state.paused,
        "counted": None if state.counted_seconds_ago is None else round(state.counted_seconds_ago),
        "counts": [
            (str(status), f"{count.jobs:,}", age_text(count.oldest_seconds) if count.jobs else "")
            for status, count in state.counts.items()
        ],
        "overdue_checks": f"{state.overdue_checks:,}" if state.overdue_checks else None,
    }


def ends_values(ends: Ends) -> dict[str, Any]:
    """Return the jobs a minute, and the outcomes of the last hour."""
    label = "Jobs that ended in each of the last 60 minutes"
    return {
        "recent": f"{ends.jobs_a_minute(RECENT_MINUTES):,.1f}",
        "hour": f"{ends.jobs_a_minute(MINUTES):,.1f}",
        "outcomes": [(str(outcome), f"{count:,}") for outcome, count in ends.last_hour().items()],
        "chart": line_chart([float(each.jobs) for each in ends.minutes[:-1]], label),
    }


def worker_row(worker: WorkerInfo) -> dict[str, Any]:
    """Return a worker."""
    chips = {READY: "good", LOST: "high"}
    return {
        "worker_id": worker.replica_id,
        "text": line(worker.replica_id, 80),
        "state": line(worker.state, 120),
        "chip": chips.get(worker.state, "medium"),
        "busy": f"{len(worker.jobs)} of {worker.slots}",
        "jobs": [(job_id, line(job_id[:12], 12)) for job_id in worker.jobs[:20] if job_id.isalnum()],
        "is_lost": worker.state == LOST,
        "facts": [
            (line(name, 40).replace("_", " "), moment(value) if name.endswith("_at") else line(str(value), 120))
            for name, value in worker_to_json(worker).items()
            if value is not None and name not in _SHOWN_APART
        ],
    }


def check_row(check: DueCheck) -> dict[str, Any]:
    """Return the check of a repository."""
    return {
        "name": line(check.full_name, 120),
        "host": line(check.clone_url, 200),
        "owner": line(check.owner, 120),
        "schedule": line(check.schedule, 80) or None,
        "due": moment(check.due_at),
        "when": "running" if check.is_running else "due" if check.is_due else None,
        "state": str(check.analysis_status).replace("_", " "),
        "chip": _CHECK_CHIPS[check.analysis_status],
        "failures": check.failures + check.refusals,
        "error": line(check.last_error, 300) or None,
        "analyzed": moment(check.last_analyzed),
    }


def delivery_row(owned: OwnedDelivery) -> dict[str, Any]:
    """Return a webhook delivery. Its URL may hold a secret: its host is shown."""
    email, delivery = owned
    ended_at = delivery.delivered_at or delivery.given_up_at
    return {
        "delivery_id": str(delivery.delivery_id),
        "job_id": delivery.job_id,
        "short": line(delivery.job_id[:12], 12),
        "owner": line(email, 120) or "a deleted user",
        "host": line(delivery.host, 120),
        "state": str(delivery.state),
        "chip": _DELIVERY_CHIPS[delivery.state],
        "attempt": delivery.attempt,
        "error": line(delivery.last_error, 200) or None,
        "next": moment(delivery.due_at) if ended_at is None else None,
        "ended": moment(ended_at),
        "waits": delivery.state is DeliveryState.WAITING,
    }


def age_text(seconds: float) -> str:
    """Return an age in its largest unit."""
    units = ((86_400, "d"), (3_600, "h"), (60, "min"))
    return next((f"{seconds / size:.1f} {unit}" for size, unit in units if seconds >= size), f"{seconds:.0f} s")
