"""Text output of jobs: a list, and one job with its history."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape

from domain.text import JSON, one_line
from worker.cli.output.grid import Grid
from worker.cli.output.writer import print_line

SHORT_ID = 8
"""Characters of an id in a table. They are enough to name it, as long as no other begins alike."""

_COLOURS: Mapping[str, str] = {"completed": "green", "failed": "red", "running": "yellow"}


def show_jobs(console: Console, jobs: Sequence[Mapping[str, JSON]], now: datetime) -> None:
    """Print one line for each job, or `no jobs`."""
    if not jobs:
        print_line(console, "no jobs")
        return
    grid = Grid(headings=("job", "status", "age", "source", "what"), numbers=frozenset({"age"}))
    for job in jobs:
        age = (now - datetime.fromisoformat(job["created_at"])).total_seconds()
        source = escape(one_line(_source_name(job), 60))
        grid.rows.append((_short(job), _status(job["status"]), format_age(age), source, escape(_job_note(job))))
    grid.show(console)


def show_all_jobs(console: Console, jobs: Sequence[Mapping[str, JSON]], now: datetime) -> None:
    """Print one line for each job of any user, with its `owner`, or `no jobs`."""
    if not jobs:
        print_line(console, "no jobs")
        return
    headings = ("job", "owner", "status", "attempt", "age", "took", "worker", "source", "what")
    grid = Grid(headings=headings, numbers=frozenset({"attempt", "age", "took"}))
    for job in jobs:
        grid.rows.append(
            (
                _short(job),
                escape(one_line(job["owner"], 40)),
                _status(job["status"]),
                str(job["attempt"] or "-"),
                format_age((now - datetime.fromisoformat(job["created_at"])).total_seconds()),
                _duration(job, now),
                escape(one_line(job["worker_id"] or "-", 40)),
                escape(one_line(_source_name(job), 60)),
                escape(_job_note(job)),
            )
        )
    grid.show(console)


def _source_name(job: Mapping[str, JSON]) -> str:
    """Return the URL or the file's name; a row of another program may have none."""
    return str(job["source"] or "-")


def _short(job: Mapping[str, JSON]) -> str:
    """Return the beginning of the id, which the commands take as well."""
    return escape(one_line(job["job_id"][:SHORT_ID], SHORT_ID))


def _duration(job: Mapping[str, JSON], now: datetime) -> str:
    """Return how long the last attempt has run, or `-` before the first."""
    if not job["started_at"] or job["status"] == "pending":
        return "-"
    end = datetime.fromisoformat(job["finished_at"]) if job["finished_at"] else now
    return f"{max(0.0, (end - datetime.fromisoformat(job['started_at'])).total_seconds()):.1f} s"


def _status(status: str) -> str:
    colour = _COLOURS.get(status)
    return f"[{colour}]{status}[/{colour}]" if colour else status


def _job_note(job: Mapping[str, JSON]) -> str:
    if job["status"] == "running":
        ending = ", being cancelled" if job["cancel_requested_at"] else ""
        attempt = f", attempt {job['attempt']}" if job["attempt"] > 1 else ""
        return f"{job['stage'] or 'starting'} {job['progress']} %{attempt}{ending}"
    if job["status"] == "pending" and job["attempt_errors"]:
        return f"to be tried again at {_format_time(job['run_after'])}: {job['attempt_errors'][-1]['message']}"
    return job["error_message"] or ""


def format_age(seconds: float) -> str:
    """Format an age in its largest whole unit, such as `42 s`, `5 min`, `3 h` or `2 d`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0) // 1:.0f} s"


def show_job(console: Console, job: Mapping[str, JSON]) -> None:
    """Print one job: its fields, then its history."""
    note = _job_note(job)
    fields = {
        "job": job["job_id"],
        "status": f"{job['status']} ({note})" if note and job["status"] != "failed" else job["status"],
        "source": _source(job),
        "author": _author(job["source_metadata"]),
        "error": job["error_message"],
        "worker": job["worker_id"],
        "run": job["result_run_id"],
        "webhook": _webhook(job),
    }
    for name, value in fields.items():
        if value:
            print_line(console, f"{name:<9}{value}")
    console.print()
    for moment, text in job_history(job):
        print_line(console, f"{_format_time(moment)}  {text}")


def _source(job: Mapping[str, JSON]) -> str:
    metadata = job["source_metadata"]
    extras = [job["source_kind"]]
    if metadata.get("git_branch"):
        extras.append(f"branch {metadata['git_branch']}")
    if metadata.get("project_name"):
        extras.append(f"project {metadata['project_name']}")
    return f"{_source_name(job)} ({', '.join(extras)})"


def _webhook(job: Mapping[str, JSON]) -> str | None:
    """Return the state of the webhook delivery. The URL is not shown, because it may contain a secret."""
    if not job["notify_url"]:
        return None
    deliveries = job.get("notices")
    if not deliveries:
        return "sent when the job ends"
    last = deliveries[-1]
    return last["state"] if last["last_error"] is None else f"{last['state']}: {last['last_error']}"


def _author(metadata: Mapping[str, JSON]) -> str:
    return ", ".join(word for word in (metadata.get("author_type"), metadata.get("author_model")) if word)


def job_history(job: Mapping[str, JSON]) -> Iterator[tuple[str, str]]:
    """Yield the events in order of time: an ISO time in UTC, and a text.

    A job's row has the time of each failed attempt, but only the last attempt's start.
    """
    events = [(job["created_at"], "submitted")]
    events.extend(
        (error["at"], f"attempt {error['attempt']} failed: {error['message']} ({error['kind']})")
        for error in job["attempt_errors"]
    )
    if job["started_at"]:
        where = f" on {job['worker_id']}" if job["worker_id"] else ""
        events.append((job["started_at"], f"attempt {job['attempt']} started{where}"))
    if job["cancel_requested_at"]:
        events.append((job["cancel_requested_at"], "cancel requested"))
    if job["finished_at"]:
        events.append((job["finished_at"], _end_text(job)))
    if job["refunded_at"]:
        events.append((job["refunded_at"], "refunded: it does not count for the month"))
    for delivery in job.get("notices", ()):
        if delivery["state"] == "waiting":
            events.append((delivery["due_at"], f"webhook: delivery {delivery['attempt'] + 1} is due"))
        else:
            moment = delivery["delivered_at"] or delivery["given_up_at"]
            events.append((moment, f"webhook {delivery['state']}, delivery {delivery['attempt']}"))
    if job["status"] == "pending" and job["attempt_errors"]:
        events.append((job["run_after"], f"attempt {job['attempt'] + 1} is due"))
    yield from sorted(events, key=lambda event: datetime.fromisoformat(event[0]))


def _end_text(job: Mapping[str, JSON]) -> str:
    took = ""
    if job["started_at"] and job["status"] == "completed":
        seconds = datetime.fromisoformat(job["finished_at"]) - datetime.fromisoformat(job["started_at"])
        took = f" after {seconds.total_seconds():.1f} s"
    last_error = job["attempt_errors"][-1]["message"] if job["attempt_errors"] else None
    error = f": {job['error_message']}" if job["error_message"] not in (None, last_error) else ""
    return f"{job['status']}{took}{error}"


def _format_time(moment: str) -> str:
    return f"{datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
