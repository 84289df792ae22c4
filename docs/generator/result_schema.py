"""JSON Schema of a result and of a job, from the dataclasses and from what the collectors declare.

The keys that serializers write by hand are listed here by hand; the tests hold every document that they read against
the schema, so the two cannot differ.
"""

import json
from collections.abc import Sequence
from functools import cache

from collectors.contract import supports_subsets
from collectors.engine.aggregates import BY_ROLE
from collectors.engine.discovery import declarations, discover
from docs.generator import history_schema, review_schema
from docs.generator.json_schema import (
    Schema,
    dataclass_schema,
    nullable,
    object_schema,
    schema_of,
    with_description,
)
from domain.findings.identity import IdentityKind
from domain.findings.roles import Role
from domain.findings.severity import FindingSeverity
from domain.findings.states import FindingState
from domain.jobs import AttemptError, JobStatus
from domain.metrics.declaration import (
    AggregateField,
    FileField,
    ItemField,
    MetricDeclaration,
    file_metrics_of,
)
from domain.metrics.report import ERRORS_LIMIT, FINDINGS_LIMIT, SKIPPED_LIMIT, Finding, SkippedFile
from domain.metrics.severity import Severity
from domain.runs import RunOrigin
from domain.selection import NOT_REQUESTED
from domain.sources import SourceKind
from domain.text import JSON

INTEGER: Schema = {"type": "integer", "minimum": 0}
TEXT: Schema = {"type": "string"}
TIME: Schema = {"type": "string", "format": "date-time"}
MAYBE_TEXT, MAYBE_TIME = nullable(TEXT), nullable(TIME)

ORIGIN_MEANINGS = {
    "submission_type": "`upload`, or `github` for any git repository, whatever its host.",
    "upload_filename": "Name of the uploaded file; null for a repository.",
    "project_name": "What the submitter named the project.",
    "author_type": "Who wrote the code, as the submitter says: `human` or `ai`.",
    "author_model": "The model or the person, as the submitter says.",
    "git_repo_url": "The repository's URL, as it was normalised.",
    "git_branch": "The branch that was fetched; null for an upload.",
    "git_commit_sha": "The commit that was analysed; null for an upload, even with a git history.",
}
FINDING_MEANINGS = {
    "metric": "Name of the metric.",
    "rule": "The tool's identifier, such as `F401`, `B602` or `unused-function`.",
    "severity": "How serious it is, by [the rule of its metric](metrics.md#severities-of-findings).",
    "path": "Path of the file within the tree.",
    "line": "Line, counted from 1.",
    "column": "Code point within the line, counted from 1; null where the tool gives none.",
    "end_line": "Last line; null where the tool gives none.",
    "end_column": "Code point after the last one; null where the tool gives none.",
    "message": "One line, at most 300 characters.",
    "function": "Dotted name of the enclosing function or class; null at the level of the module.",
    "identity": "What the finding is about, free of line numbers, values and other files' places: see the metric.",
    "line_hash": "Hash of the line's text without white space; null where the finding is about more than a line.",
    "location_hash": "GitHub's `primaryLocationLineHash`; null for `docs`, of which code scanning gets no alerts.",
    "fingerprint": "Hash of metric, rule family, identity and function. It stays when the file is renamed.",
}
_ROLE_MEANING = "What the file is for; see [roles of files](metrics.md#roles-of-files)."
_SINCE_FINDINGS = (
    "severity", "column", "end_line", "end_column", "identity", "line_hash", "location_hash", "fingerprint",
)  # fmt: skip
"""Keys of a finding that runs of earlier versions do not have."""
METADATA_MEANINGS = {
    "upload_filename": "Name of the uploaded file.",
    "git_repo_url": "The repository's URL, as it was normalised.",
    "git_branch": "The branch that was asked for; null means the default branch.",
    "project_name": ORIGIN_MEANINGS["project_name"],
    "author_type": ORIGIN_MEANINGS["author_type"],
    "author_model": ORIGIN_MEANINGS["author_model"],
}


def schema() -> Schema:
    """Return the whole schema. Its root is a result; `#/$defs/job` is a job."""
    metrics = declarations()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Result of an analysis",
        "description": "What `vibe8 analyze`, `vibe8 submit --wait` and `vibe8 result` print with --json, and what "
        "`worker.client.run_to_json` returns. A later version may add keys. A job without a result has null in place "
        "of all that only an analysis knows.",
        **object_schema(_result_properties()),
        "$defs": {
            "job": object_schema(_job_properties(), optional=("notices", "owner")),
            "webhook_delivery": _webhook_delivery(),
            "source_metadata": _source_metadata(),
            "run_source": _run_source(),
            "local_source": _local_source(),
            "metrics": _metrics(metrics),
            "directory": _directory(),
            "file": _file(),
            "file_metrics": _file_metrics(metrics),
            "finding": _finding(),
            "completeness": _completeness(metrics),
            **history_schema.definitions(),
            **review_schema.definitions(),
        },
    }


def document() -> str:
    """Return the schema as text."""
    return json.dumps(schema(), indent=1) + "\n"


def reference(name: str) -> Schema:
    """Return a reference to one of the definitions."""
    return {"$ref": f"#/$defs/{name}"}


def _result_properties() -> dict[str, Schema]:
    findings = object_schema(
        {
            "total": with_description(INTEGER, "How many there are, whatever the list's limit."),
            "items": {"type": "array", "maxItems": FINDINGS_LIMIT, "items": reference("finding")},
            "cut": with_description(
                {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": INTEGER}},
                "How many were left out for the list's limit, by metric and severity; the least severe first.",
            ),
            "metrics": with_description(
                {"type": "object", "additionalProperties": _traits()}, "What a comparison needs to know of the metrics."
            ),
        },
        optional=("cut", "metrics"),
    )
    other_forms = {"anyOf": [{"required": ["run_id"]}, {"required": ["kind"]}]}
    submitted = {"allOf": [reference("source_metadata")], "not": other_forms}
    source: Schema = {"anyOf": [reference("run_source"), reference("local_source"), submitted]}
    versions: Schema = {"type": "object", "additionalProperties": TEXT, "required": ["python"]}
    return {
        "job": with_description(nullable(reference("job")), "The job; null for `vibe8 analyze`."),
        "source": with_description(source, "Where the code came from; for a job without a result, what was submitted."),
        "metrics": with_description(nullable(reference("metrics")), "The metrics of the whole tree."),
        "file_tree": with_description(
            nullable(reference("directory")), "Folders and files, each file with its metrics."
        ),
        "findings": with_description(
            nullable(findings), f"Single problems, by path and line; at most {FINDINGS_LIMIT} are listed."
        ),
        "errors": with_description(
            {"type": "array", "items": TEXT, "maxItems": ERRORS_LIMIT + 1},
            "What could not be measured, one line each; for a failed job its error.",
        ),
        "completeness": with_description(nullable(reference("completeness")), "What was and was not measured."),
        "tool_versions": with_description(nullable(versions), "Version of each tool, of git and of Python."),
        "timings_ms": with_description(
            nullable({"type": "object", "additionalProperties": INTEGER}),
            "Milliseconds. `fetching`, `collecting` and `summarizing` are wall times. `collect.NAME` is a collector's "
            "CPU time in all processes; `wall.NAME` is the time from the start of collecting to its last result.",
        ),
        "history": with_description(
            nullable(reference("history")),
            "What the git history says of the files; null in runs of before.",
        ),
        **review_schema.result_properties(),
    }


def _traits() -> Schema:
    texts: Schema = {"type": "array", "items": TEXT}
    return object_schema(
        {
            "tool": with_description(TEXT, "Its key in `tool_versions`."),
            "revision": with_description(INTEGER, "Rises when the collector says something else of the same bytes."),
            "identity": with_description(schema_of(IdentityKind), "What the identity of a finding is."),
            "rule_family": with_description(MAYBE_TEXT, "The family of all its rules; null: each is its own."),
            "alerts": with_description({"type": "boolean"}, "Whether findings become alerts of code scanning."),
            "tree_rules": with_description(
                object_schema({"most": {"type": "boolean"}, "exceptions": texts}),
                "Rules that look at all files: the exceptions, or with `most` all others.",
            ),
            "file_number": with_description(
                nullable(texts), "Where the `metrics` of a file have null if the file was not measured."
            ),
            "needs_syntax": with_description({"type": "boolean"}, "Whether a file must parse."),
        }
    )


def _job_properties() -> dict[str, Schema]:
    errors = {"type": "array", "items": dataclass_schema(AttemptError)}
    return {
        "job_id": with_description(TEXT, "Id of the job."),
        "status": schema_of(JobStatus),
        "source": with_description(MAYBE_TEXT, "URL of the repository, or name of the uploaded file."),
        "source_kind": with_description(
            schema_of(SourceKind), "`upload`, or `github` for any git repository, whatever its host."
        ),
        "source_metadata": reference("source_metadata"),
        "result_run_id": with_description(
            {"type": ["string", "null"], "format": "uuid"}, "Id of the run, once the job has completed."
        ),
        "error_message": with_description(MAYBE_TEXT, "Why the job failed, in one line for its owner."),
        "attempt": with_description(INTEGER, "Number of the latest attempt; 0 before the first claim."),
        "attempt_errors": with_description(errors, "Failed attempts. Three of them end the job."),
        "stage": with_description(
            MAYBE_TEXT,
            "What a running job does: `waiting to fetch`, `fetching`, `waiting for a core`, `collecting`, "
            "`summarizing`, `asking the package index`.",
        ),
        "progress": {"type": "integer", "minimum": 0, "maximum": 100},
        "created_at": with_description(TIME, "When the job was submitted. All times are in UTC."),
        "started_at": with_description(MAYBE_TIME, "When the latest attempt was claimed."),
        "finished_at": with_description(MAYBE_TIME, "When the job ended."),
        "updated_at": with_description(TIME, "When the row was last written."),
        "run_after": with_description(TIME, "When the job is due: later than now while it waits for a retry."),
        "cancel_requested_at": with_description(MAYBE_TIME, "When its owner cancelled the job."),
        "refunded_at": with_description(
            MAYBE_TIME, "When the job was given back to its owner's month, as it failed through the fleet's fault."
        ),
        "worker_id": with_description(MAYBE_TEXT, "The worker that runs the job, or ran its last attempt."),
        "notify_url": with_description(MAYBE_TEXT, "Where a webhook is sent when the job ends."),
        "options": with_description(reference("options"), "What was asked for beside the source."),
        "notices": with_description(
            {"type": "array", "items": reference("webhook_delivery")},
            "Webhook deliveries about the job, oldest first; only `vibe8 job ID` has them.",
        ),
        "owner": with_description(TEXT, "Email of the user who submitted it; only `vibe8 jobs --all` has it."),
    }


def _webhook_delivery() -> Schema:
    return object_schema(
        {
            "notice_id": with_description(TEXT, "Id of the delivery: the header `webhook-id`."),
            "state": {"enum": ["waiting", "delivered", "given up"]},
            "status": with_description({"enum": ["completed", "failed"]}, "How the job ended."),
            "attempt": with_description(INTEGER, "Attempts that have begun."),
            "due_at": with_description(TIME, "When the next attempt is due."),
            "delivered_at": MAYBE_TIME,
            "given_up_at": MAYBE_TIME,
            "last_error": with_description(MAYBE_TEXT, "Why the latest attempt failed."),
        }
    )


def _source_metadata() -> Schema:
    properties = {key: with_description(MAYBE_TEXT, meaning) for key, meaning in METADATA_MEANINGS.items()}
    properties["has_token"] = with_description({"type": "boolean"}, "Whether a token was submitted with a repository.")
    properties["traceparent"] = with_description(TEXT, "The trace that the job belongs to, as OpenTelemetry writes it.")
    return {
        "description": "What was submitted. Other programs may write further keys into the row.",
        "type": "object",
        "properties": properties,
    }


def _run_source() -> Schema:
    origin = dataclass_schema(RunOrigin, ORIGIN_MEANINGS)
    properties = {
        "run_id": with_description({"type": "string", "format": "uuid"}, "Id of the run."),
        "created_at": with_description(TIME, "When the run was stored."),
        **origin["properties"],
        "submission_type": with_description(schema_of(SourceKind), ORIGIN_MEANINGS["submission_type"]),
    }
    return object_schema(properties)


def _local_source() -> Schema:
    properties = {
        "kind": {"enum": ["directory", "upload", "github"]},
        "path": with_description(TEXT, "Path on this machine; absent for a repository."),
        "git_repo_url": with_description(TEXT, "URL of the repository; absent for a directory or a file."),
        "project_name": with_description(
            MAYBE_TEXT,
            "Name of the directory or file, or owner and name of the repository; null for the directory `/`.",
        ),
        "created_at": with_description(TIME, "When the analysis ended."),
        "git_branch": MAYBE_TEXT,
        "git_commit_sha": MAYBE_TEXT,
    }
    return object_schema(properties, optional=("path", "git_repo_url"))


def _metrics(metrics: Sequence[MetricDeclaration]) -> Schema:
    return object_schema({metric.name: _aggregate(metric) for metric in metrics})


def _aggregate(metric: MetricDeclaration) -> Schema:
    keys = {field.key: _measured(field) for field in metric.aggregate}
    if metric.name not in _metrics_with_roles():
        return object_schema(keys)
    of_role = nullable(object_schema({str(role): object_schema(keys) for role in Role}, optional=list(Role)))
    meaning = "The same of the files of each role that occurs; null where the collector failed."
    return object_schema({**keys, BY_ROLE: with_description(of_role, meaning)}, optional=(BY_ROLE,))


@cache
def _metrics_with_roles() -> frozenset[str]:
    return frozenset(collector.metric.name for collector in discover() if supports_subsets(collector))


def _finding() -> Schema:
    properties = dataclass_schema(Finding, FINDING_MEANINGS)["properties"]
    properties["fingerprint"] = with_description(TEXT, FINDING_MEANINGS["fingerprint"])
    properties["state"] = with_description(schema_of(FindingState), "What became of it since the baseline.")
    properties["first_seen_at"] = with_description(
        MAYBE_TIME, "When the first run with it was claimed or stored; null where that is not known."
    )
    properties["severity_before"] = with_description(
        nullable(schema_of(FindingSeverity)), "Its severity in the baseline; only where its state is `updated`."
    )
    return object_schema(properties, optional=(*_SINCE_FINDINGS, "state", "first_seen_at", "severity_before"))


def _measured(field: AggregateField | FileField | ItemField) -> Schema:
    schema: Schema = {"type": field.json_type}
    if isinstance(field, AggregateField) and field.items:
        schema["items"] = object_schema({item.key: _measured(item) for item in field.items})
    return with_description(nullable(schema), field.meaning)


def _file_metrics(metrics: Sequence[MetricDeclaration]) -> Schema:
    severity = with_description(nullable(schema_of(Severity)), "Null where the number was not measured.")
    objects = {}
    for metric in file_metrics_of(metrics):
        properties = {field.key: _measured(field) for field in metric.fields}
        if metric.thresholds is not None or metric.judge is not None:
            properties["severity"] = severity
        objects[metric.key] = object_schema(properties)
    health = nullable({"type": "number", "minimum": 0, "maximum": 100})
    meaning = "All metrics of the file as one number; higher is better. Null where one of them was not measured."
    objects["health_score"] = with_description(health, meaning)
    objects["health_without_churn"] = with_description(health, "The same without the git history.")
    return object_schema(objects, optional=("health_without_churn",))


def _directory() -> Schema:
    children: Schema = {"type": "array", "items": {"anyOf": [reference("file"), reference("directory")]}}
    return object_schema(
        {
            "name": with_description(TEXT, "The last part of the path; `root` for the whole tree."),
            "type": {"const": "directory"},
            "path": with_description(TEXT, "Path within the tree; empty for the root."),
            "children": with_description(children, "Directories first, then files, by name."),
        }
    )


def _file() -> Schema:
    return object_schema(
        {
            "name": TEXT,
            "type": {"const": "file"},
            "path": with_description(TEXT, "Path within the tree."),
            "extension": with_description(TEXT, "With its dot."),
            "size": with_description(INTEGER, "Bytes."),
            "digest": with_description(
                MAYBE_TEXT, "First 16 hexadecimal digits of SHA-256 of its bytes; null where it could not be read."
            ),
            "role": with_description(schema_of(Role), _ROLE_MEANING),
            "metrics": reference("file_metrics"),
            "parse_error": with_description(TEXT, "Why the file has no syntax tree; absent for a file that parses."),
        },
        optional=("parse_error", "digest", "role"),
    )


def _completeness(metrics: Sequence[MetricDeclaration]) -> Schema:
    state: Schema = {"enum": ["ok", "partial", "failed", NOT_REQUESTED]}
    skipped: dict[str, JSON] = {"type": "array", "maxItems": SKIPPED_LIMIT, "items": dataclass_schema(SkippedFile)}
    return object_schema(
        {
            "files": with_description(INTEGER, "Files in the tree."),
            "analyzed": with_description(INTEGER, "Files of them that parse."),
            "skipped": with_description(
                skipped, f"What was left out before the analysis; at most {SKIPPED_LIMIT} are listed."
            ),
            "skipped_total": with_description(INTEGER, "How many were left out, whatever the list's limit."),
            "not_selected": with_description(INTEGER, "Python files that `include` and `exclude` left out."),
            "collectors": with_description(
                object_schema({metric.name: state for metric in metrics}),
                "`ok`; `partial`: something was left out, and `errors` names it; `failed`, and `not_requested` by the "
                "option `collectors`: the values are null.",
            ),
        },
        optional=("not_selected",),
    )
