"""What each route answers when it succeeds, by the name of its function."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, the schema of its JSON document or None for an empty body, and what it means."""

    status: int
    schema: str | None
    meaning: str
    media_type: str = "application/json"
    has_etag: bool = False


def _one(schema: str, meaning: str, status: int = 200, *, has_etag: bool = False) -> tuple[Answer, ...]:
    return (Answer(status, schema, meaning, has_etag=has_etag),)


def _done(meaning: str) -> tuple[Answer, ...]:
    return (Answer(204, None, meaning),)


ANSWERS: Mapping[str, tuple[Answer, ...]] = {
    "list_problems": _one("problem_list", "The codes."),
    "get_description": (Answer(200, "description", "This description."),),
    "submit_job": _one("job", "The job, which waits for a worker.", 202),
    "list_jobs": _one("job_page", "A page of jobs."),
    "get_job": _one("job", "The job."),
    "get_result": (
        Answer(200, "result", "The result, or the error of a failed job."),
        Answer(202, "result", "The job has not ended; come again after `Retry-After`."),
    ),
    "list_webhooks": _one("webhook_list", "The deliveries."),
    "delete_job": (Answer(202, "job", "The job is being cancelled."), Answer(204, None, "The job is deleted.")),
    "retry_job": _one("job", "The job, which is pending again.", 202),
    "stream_events": (
        Answer(200, "job_event", "Events named `job`, each with a document like this.", "text/event-stream"),
        Answer(204, None, "The reader has had the last event: do not connect again."),
    ),
    "list_runs": _one("run_page", "A page of runs."),
    "get_run": _one("result", "The run.", has_etag=True),
    "get_summary": _one("run_summary", "The run's verdict, score and numbers."),
    "get_file_tree": _one("file_tree", "The folders and files.", has_etag=True),
    "list_findings": _one("finding_page", "A page of findings.", has_etag=True),
    "compare_runs": _one("run_comparison", "The comparison.", has_etag=True),
    "get_history": _one("run_history", "The history.", has_etag=True),
    "list_insights": _one("run_insights", "The insights.", has_etag=True),
    "export_run": (Answer(200, None, "The document, in the type of its form.", "*/*", has_etag=True),),
    "pin_run": _done("It is the baseline."),
    "set_tags": _one("run_tags", "The tags of the run."),
    "delete_run": _done("It is deleted."),
    "get_trend": _one("trend", "The trends."),
    "list_repositories": _one("repository_page", "A page of repositories."),
    "add_repository": _one("repository", "The repository.", 201),
    "list_trending": _one("repository_list", "The repositories."),
    "list_followed": _one("follow_page", "A page of follows."),
    "get_repository": _one("repository", "The repository."),
    "change_repository": _one("repository", "The repository as it is now."),
    "remove_repository": _done("It is tracked no longer."),
    "check_repository": _one("repository", "The repository, which is checked soon.", 202),
    "rotate_hook_secret": _one("hook_secret", "The secret, shown this once.", 201),
    "follow_repository": _one("follow", "What you are told."),
    "unfollow_repository": _done("You follow it no longer."),
    "receive_hook": _one("hook_outcome", "What became of the hook.", 202),
    "submit_evaluation": _one("evaluation", "The evaluation.", 202),
    "list_evaluations": _one("evaluation_page", "A page of evaluations."),
    "get_evaluation": _one("evaluation", "The evaluation."),
    "get_results": _one("evaluation_results", "The comparison of the authors."),
    "cancel_evaluation": _one("evaluation", "The evaluation, whose jobs end.", 202),
    "delete_evaluation": _done("It is deleted."),
    "share_report": _one("report", "The report with its code.", 201),
    "list_reports": _one("report_page", "A page of reports."),
    "get_report": _one("report", "The report."),
    "withdraw_report": _one("report", "The report, which shows nothing any more."),
    "list_keys": _one("key_list", "The keys."),
    "create_key": _one("created_key", "The key with its text, shown this once.", 201),
    "revoke_key": _one("api_key", "The key, which is unusable."),
    "get_usage": _one("usage", "The plan and its use."),
    "get_queue": _one("queue", "The counts."),
    "pause": _one("pause", "The fleet is paused."),
    "resume": _one("pause", "The fleet runs."),
    "list_workers": _one("worker_list", "The workers."),
    "drain": _one("draining", "The workers that were told.", 202),
    "list_all_jobs": _one("job_page", "A page of jobs, each with its `owner`."),
    "get_any_job": _one("job", "The job."),
    "cancel_any_job": _one("job", "The job is being cancelled.", 202),
    "retry_any_job": _one("job", "The job, which is pending again.", 202),
    "get_ends": _one("ends", "The numbers."),
    "list_checks": _one("check_page", "A page of checks."),
    "list_all_webhooks": _one("owned_webhook_page", "A page of deliveries."),
    "resend_webhook": _one("owned_webhook", "The delivery, which waits.", 202),
    "list_audit_entries": _one("audit_page", "A page of entries."),
}
