"""JSON Schemas of the answers that `result.schema.json` does not have, with the names that OpenAPI refers to."""

from collections.abc import Mapping, Sequence

from domain.evaluations.evaluation import EvaluationStatus, MemberState
from domain.findings.roles import Role
from domain.jobs import JobStatus
from domain.keys import Permission
from domain.statistics.ends import Outcome
from domain.text import JSON
from domain.tracking.hooks import HookOutcome
from domain.tracking.repository import AnalysisStatus
from domain.webhooks import DeliveryState

Schema = dict[str, JSON]

TEXT: Schema = {"type": "string"}
ID: Schema = {"type": "string", "format": "uuid"}
TIME: Schema = {"type": "string", "format": "date-time"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
ANY_OBJECT: Schema = {"type": "object"}
TEXTS: Schema = {"type": "array", "items": TEXT}
TAGS: Schema = {"type": "object", "additionalProperties": TEXTS}


def ref(name: str) -> Schema:
    """Return a reference to a schema of the description."""
    return {"$ref": f"#/components/schemas/{name}"}


def nullable(schema: Schema) -> Schema:
    """Return a schema that also allows null."""
    return {"anyOf": [schema, {"type": "null"}]}


def list_of(schema: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": schema}


def one_of(values: Sequence[str]) -> Schema:
    """Return the schema of one of these texts."""
    return {"type": "string", "enum": [str(value) for value in values]}


def record(**properties: Schema) -> Schema:
    """Return the schema of an object with exactly these keys, all required."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def may_lack(schema: Schema, *names: str) -> Schema:
    """Return the schema of an object in which these keys may be absent."""
    return {**schema, "required": [name for name in schema["required"] if name not in names]}


def page(name: str, items: Schema) -> Schema:
    """Return the schema of a page of a list; `next` is the cursor of the following page."""
    return record(**{name: list_of(items), "next": nullable(TEXT)})


_KEY = {
    "id": ID, "name": TEXT, "prefix": TEXT, "permissions": list_of(one_of(tuple(Permission))), "rate_limit": COUNT,
    "last_used": nullable(TIME), "expires_at": nullable(TIME), "is_active": FLAG, "created_at": TIME,
}  # fmt: skip
_REPOSITORY = {
    "id": ID, "owner_id": ID, "name": TEXT, "full_name": TEXT, "description": nullable(TEXT), "url": TEXT,
    "clone_url": TEXT, "default_branch": nullable(TEXT), "language": nullable(TEXT), "stars": COUNT, "forks": COUNT,
    "watchers": COUNT, "size": COUNT, "last_analyzed": nullable(TIME), "heads": ANY_OBJECT,
    "analysis_status": one_of(tuple(AnalysisStatus)), "settings": ANY_OBJECT, "tags": TAGS, "schedule": nullable(TEXT),
    "next_check_at": nullable(TIME), "last_checked_at": nullable(TIME), "check_pending": FLAG, "failures": COUNT,
    "last_error": nullable(TEXT), "has_token": FLAG, "has_hook_secret": FLAG, "created_at": TIME, "updated_at": TIME,
    "statistics": ANY_OBJECT,
}  # fmt: skip
_EVALUATION = {
    "evaluation_id": ID, "name": TEXT, "description": TEXT, "model_name": nullable(TEXT), "dataset_name": TEXT,
    "status": one_of(tuple(EvaluationStatus)), "projects": COUNT, "created_at": TIME, "finished_at": nullable(TIME),
}  # fmt: skip
_MEMBER = {
    "job_id": TEXT, "source": TEXT, "author_type": TEXT, "author_model": TEXT, "task": TEXT, "author": TEXT,
    "state": one_of(tuple(MemberState)), "reason": nullable(TEXT), "run_id": nullable(ID),
    "source_lines": nullable(COUNT), "numbers": ANY_OBJECT, "incomplete": TEXTS, "tool_versions": ANY_OBJECT,
}  # fmt: skip
_REPORT = {
    "id": ID, "run_id": ID, "short_code": TEXT, "state": one_of(("open", "withdrawn", "expired", "used up")),
    "is_public": FLAG, "has_password": FLAG, "expires_at": nullable(TIME), "max_views": nullable(COUNT),
    "view_count": COUNT, "last_viewed_at": nullable(TIME), "created_at": TIME, "updated_at": TIME,
}  # fmt: skip
_WORKER = {
    "replica_id": TEXT, "host": TEXT, "pid": COUNT, "version": TEXT, "started_at": TIME, "seen_at": TIME,
    "slots": COUNT, "state": TEXT, "jobs": TEXTS,
}  # fmt: skip
_SUMMARY = {
    "source": ref("run_source"), "metrics": ref("metrics"), "errors": TEXTS, "completeness": ref("completeness"),
    "tool_versions": ANY_OBJECT, "duration_ms": COUNT, "quality_score": nullable(NUMBER),
    "review_verdict": nullable(TEXT), "tags": TAGS,
}  # fmt: skip
_AUDIT = {
    "id": ID, "created_at": TIME, "user_id": nullable(ID), "action": TEXT, "resource_type": TEXT,
    "resource_id": nullable(TEXT), "details": ANY_OBJECT, "ip_address": nullable(TEXT), "user_agent": nullable(TEXT),
}  # fmt: skip
_ENDS = dict.fromkeys(map(str, Outcome), COUNT)
_CHECK = {
    "repository_id": ID, "full_name": TEXT, "clone_url": TEXT, "owner": TEXT, "schedule": nullable(TEXT),
    "due_at": TIME, "is_due": FLAG, "is_running": FLAG, "analysis_status": one_of(tuple(AnalysisStatus)),
    "failures": COUNT, "refusals": COUNT, "last_error": nullable(TEXT), "last_analyzed": nullable(TIME),
}  # fmt: skip
_DELIVERY = {
    "notice_id": ID, "state": one_of(tuple(DeliveryState)), "status": TEXT, "attempt": COUNT, "due_at": TIME,
    "delivered_at": nullable(TIME), "given_up_at": nullable(TIME), "last_error": nullable(TEXT), "job_id": TEXT,
    "owner": nullable(TEXT), "host": TEXT,
}  # fmt: skip
_COUNTED = record(jobs=COUNT, oldest_seconds=NUMBER)

SHAPES: Mapping[str, Schema] = {
    "problem": may_lack(
        record(
            type=TEXT, title=TEXT, status=COUNT, detail=TEXT, code=TEXT, request_id=TEXT,
            errors=list_of(record(field=TEXT, message=TEXT)),
        ),
        "errors",
    ),
    "problem_list": record(problems=list_of(record(code=TEXT, status=COUNT, title=TEXT, meaning=TEXT))),
    "job_page": page("jobs", ref("job")),
    "webhook_list": record(webhooks=list_of(ref("webhook_delivery"))),
    "job_event": record(
        job_id=TEXT, status=one_of(tuple(JobStatus)), stage=nullable(TEXT), progress=COUNT, attempt=COUNT,
        result_run_id=nullable(ID), error_message=nullable(TEXT),
    ),
    "run_summary": may_lack(record(**_SUMMARY), "tags"),
    "run_page": page("runs", ref("run_summary")),
    "file_tree": record(run_id=ID, file_tree=nullable(ref("directory"))),
    "finding_page": record(
        run_id=ID, findings=list_of(ANY_OBJECT), next=nullable(COUNT), matching=COUNT,
        other_roles={"type": "object", "propertyNames": one_of(tuple(Role)), "additionalProperties": COUNT},
        unlisted=COUNT,
    ),
    "run_comparison": {
        "type": "object",
        "properties": {"run_id": ID, "baseline_run_id": ID, "findings": list_of(ANY_OBJECT)},
        "required": ["run_id", "baseline_run_id", "findings"],
    },
    "run_history": record(run_id=ID, history=nullable(ANY_OBJECT)),
    "run_insights": record(run_id=ID, insights=list_of(ref("insight"))),
    "run_tags": record(run_id=ID, tags=TAGS),
    "trend": record(
        project=TEXT, branch=nullable(TEXT), break_reason=nullable(TEXT), trends=list_of(ANY_OBJECT),
        runs=list_of(record(run_id=ID, created_at=TIME, commit=nullable(TEXT))),
    ),
    "repository": may_lack(record(**_REPOSITORY), "statistics"),
    "repository_page": page("repositories", ref("repository")),
    "repository_list": record(repositories=list_of(ref("repository"))),
    "follow": record(user_id=ID, repository_id=ID, followed_at=TIME, notification_settings=ANY_OBJECT),
    "follow_page": page("follows", ref("follow")),
    "hook_secret": record(secret=TEXT, path=TEXT),
    "hook_outcome": record(outcome=one_of(tuple(HookOutcome))),
    "evaluation_summary": record(**_EVALUATION),
    "evaluation": record(**_EVALUATION, members=list_of(record(**_MEMBER))),
    "evaluation_page": page("evaluations", ref("evaluation_summary")),
    "evaluation_results": ANY_OBJECT,
    "report": record(**_REPORT),
    "report_page": page("reports", ref("report")),
    "api_key": record(**_KEY),
    "created_key": record(**_KEY, key=TEXT),
    "key_list": record(keys=list_of(ref("api_key"))),
    "usage": record(
        tier=TEXT, month=TEXT, month_ends_at=TIME, day_ends_at=TIME,
        limits={"type": "object", "additionalProperties": nullable(COUNT)},
        used={"type": "object", "additionalProperties": COUNT},
        months=list_of(record(month=TEXT, analyses=COUNT, reports=COUNT, repositories=COUNT)),
    ),
    "queue": record(
        paused=FLAG, counted_seconds_ago=nullable(NUMBER), overdue_checks=COUNT,
        queue={"type": "object", "propertyNames": one_of(tuple(JobStatus)), "additionalProperties": _COUNTED},
    ),
    "ends": record(
        jobs_a_minute=NUMBER, last_hour=record(**_ENDS), minutes=list_of(record(began_at=TIME, **_ENDS)),
    ),
    "check_page": page("checks", record(**_CHECK)),
    "owned_webhook": record(**_DELIVERY),
    "owned_webhook_page": page("webhooks", ref("owned_webhook")),
    "pause": record(paused=FLAG, changed=FLAG),
    "worker_list": record(workers=list_of(record(**_WORKER))),
    "draining": record(draining=TEXTS),
    "audit_page": page("entries", record(**_AUDIT)),
}  # fmt: skip
"""The schemas by name; `job`, `result` and what they refer to come from `result.schema.json`."""
