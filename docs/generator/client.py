"""The reference of the client, from its docstrings."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, get_type_hints

from docs.generator.docstrings import field_meanings
from docs.generator.markdown import NOTE, cell, documentation, table
from domain import errors
from domain.evaluations.authors import MAX_AUTHORS, MAX_PROJECTS
from domain.keys import DEFAULT_RATE_LIMIT, MAX_KEYS, MAX_RATE_LIMIT
from domain.reports import (
    MAX_LISTED_REPORTS,
    MAX_PASSWORD_BYTES,
    MAX_VIEWS,
    READER_HOURS,
    WRONG_PASSWORDS,
    WRONG_PASSWORDS_OF_ALL,
)
from domain.sources import MAX_NAME_LENGTH
from domain.tracking.hooks import MAX_HOOK_BYTES
from domain.tracking.settings import MAX_BRANCHES
from domain.webhooks import MAX_URL_LENGTH
from examples.api import STATUS
from infrastructure.database.repositories.submissions import MAX_KEY_LENGTH
from worker import client
from worker.client import Client
from worker.client.evaluations.evaluations import MAX_LISTED_EVALUATIONS
from worker.client.jobs.owned_jobs import MAX_LISTED_JOBS
from worker.client.jobs.submissions import MAX_SUBMISSIONS, MAX_TOTAL_MB
from worker.client.operator import OperatorClient
from worker.client.repositories.repositories import MAX_LISTED_REPOSITORIES
from worker.client.runs.owned_runs import MAX_LISTED_FINDINGS, MAX_PAGE_SIZE

WIDTH = 100
"""Columns of a signature on one line."""

ERRORS = (
    errors.InvalidInputError,
    errors.LimitExceededError,
    errors.RateLimitedError,
    errors.NotFoundError,
    errors.ForbiddenError,
    errors.InvalidKeyError,
    errors.PermissionDeniedError,
    errors.ReportGoneError,
    errors.ReportPasswordError,
    errors.TooManyAttemptsError,
    errors.IllegalTransitionError,
    errors.ServiceUnavailableError,
)
"""The errors that a client raises, in the order of the table."""

VALUES = [
    "UploadSubmission", "RepositorySubmission", "Authorship", "JobOptions", "Policy", "Job", "JobStatus", "JobCursor",
    "AttemptError", "Completed", "JobFailed", "Unfinished", "Page", "RunSummary", "Run", "RunOrigin", "RunCursor",
    "FindingPage", "FindingState", "FindingSeverity", "Role", "RunComparison", "ProjectTrend", "Series", "TrendRun",
    "Trend", "ExportFormat", "WebhookDelivery", "ApiKey", "CreatedKey", "Permission", "AuthenticatedKey", "RateLimit",
    "EvaluationItem", "EvaluationSummary", "EvaluationStatus", "EvaluationCursor", "Evaluation", "Member",
    "Declaration", "Outcome", "MemberState", "EvaluationFormat", "TrackedRepository", "AnalysisStatus",
    "RepositorySettings", "RepositoryChanges", "RepositoryCursor", "RepositoryStatistics", "TrendingRepository",
    "HookOutcome", "Follow", "FollowSettings", "FollowWhen", "FollowCursor", "SharedReport", "ReportCursor",
    "UserUsage", "PlanLimits", "Usage", "MonthUsage", "Tier",
]  # fmt: skip
"""Names in `worker.client`, in the order of the page."""

FUNCTIONS = [
    "job_to_json", "run_to_json", "run_summary_to_json", "empty_result_to_json", "comparison_to_json",
    "finding_page_to_json", "trend_to_json", "webhook_delivery_to_json", "repository_to_json", "trending_to_json",
    "follow_to_json", "job_options_from_json", "parse_policy", "repository_settings_from_json",
]  # fmt: skip

HEAD = f"""\
# The client
{NOTE}

`worker.client` is what an API imports. The [tutorial](tutorial.md) has a first program,
[examples/api.py](../examples/api.py) a whole API. `Client.open` needs `DATABASE_URL` and `REDIS_URL`
([configuration](configuration.md)), or a running `vibe8 up`.

Every call about a job or a run takes the id of the user who makes it, and refuses what belongs to another user. The
API is trusted: the client believes that id. A submission is validated before anything is written. Ids of users, runs,
keys, repositories and evaluations are `uuid.UUID`: read those that come as text with `UUID(text)`, which raises
ValueError. Ids of jobs are texts.

## Errors

All are in `domain.errors`, and all derive from `Vibe8Error`. The text of each is one line that says what to do; it may
be shown to the user. A `PermanentError` fails again when it is repeated, a `TransientError` may not.

"""
ERROR_NOTES = """
`ServiceUnavailableError` leaves open whether the call took effect: submit again with the same `idempotency_key`. An API
that must not reveal which ids exist answers `NotFoundError` and `ForbiddenError` in the same way. Any other exception
is a fault of the program.

## Limits

"""
OPERATORS = """
## `OperatorClient`

**No API may offer these calls.** They act on the jobs of all users and check no owner. The class is in
`worker.client.operator`; `vibe8 cancel`, `vibe8 retry` and `vibe8 job --operator` use it.

"""
VALUES_HEAD = """
## Values

All are in `worker.client`, as `JobResult` (`Completed | JobFailed | Unfinished`) and `Submission`
(`UploadSubmission | RepositorySubmission`) are, and immutable. Times are aware and in UTC. [result.md](result.md)
explains the documents in a run and in JSON.
"""
JSON_HEAD = """
## JSON

Functions of `worker.client`. [result.schema.json](result.schema.json) has the shapes.
"""


LIMITS = (
    ("`MAX_SUBMISSIONS`", MAX_SUBMISSIONS, "submissions in one `submit_many`"),
    ("`MAX_TOTAL_MB`", MAX_TOTAL_MB, "MB of uploads in one `submit_many`, before base64"),
    ("`MAX_UPLOAD_MB`", "a setting", "MB of one upload, before base64"),
    ("`MAX_KEY_LENGTH`", MAX_KEY_LENGTH, "characters of an idempotency key"),
    ("`MAX_NAME_LENGTH`", MAX_NAME_LENGTH, "characters of a file name, project name or author model"),
    ("`MAX_URL_LENGTH`", MAX_URL_LENGTH, "characters of a notify URL"),
    ("`MAX_CONCURRENT_JOBS_PER_USER`", "a setting", "unfinished jobs of a user of the plan `free`"),
    ("`DAILY_JOB_LIMIT_PER_USER`", "a setting", "submissions of such a user in one day (UTC)"),
    ("`TIER_LIMITS`", "a setting", "all limits of all [plans](plans.md)"),
    ("`MAX_LISTED_JOBS`", MAX_LISTED_JOBS, "jobs on a page of `list_jobs`"),
    ("`MAX_PAGE_SIZE`", MAX_PAGE_SIZE, "runs on a page of `list_runs`"),
    ("`MAX_LISTED_FINDINGS`", MAX_LISTED_FINDINGS, "findings on a page of `list_findings`"),
    ("`MAX_PROJECTS`", MAX_PROJECTS, "projects of an evaluation"),
    ("`MAX_AUTHORS`", MAX_AUTHORS, "authors of an evaluation"),
    ("`MAX_LISTED_EVALUATIONS`", MAX_LISTED_EVALUATIONS, "evaluations on a page of `evaluations.list`"),
    ("`MAX_LISTED_REPOSITORIES`", MAX_LISTED_REPOSITORIES, "tracked repositories, or follows, on a page"),
    ("`MAX_BRANCHES`", MAX_BRANCHES, "watched branches of a tracked repository"),
    ("`MAX_HOOK_BYTES`", MAX_HOOK_BYTES, "bytes of a push hook's body"),
    ("`MAX_LISTED_REPORTS`", MAX_LISTED_REPORTS, "shared reports on a page of `reports.list`"),
    ("`MAX_PASSWORD_BYTES`", MAX_PASSWORD_BYTES, "bytes of the password of a shared report"),
    ("`MAX_VIEWS`", MAX_VIEWS, "views that a shared report can be limited to"),
    ("`WRONG_PASSWORDS`", WRONG_PASSWORDS, "wrong passwords that a shared report takes from one address in a minute"),
    ("`WRONG_PASSWORDS_OF_ALL`", WRONG_PASSWORDS_OF_ALL, "those that it takes from all addresses in a minute"),
    ("`READER_HOURS`", READER_HOURS, "hours for which `reports.admit` opens a shared report"),
    ("`MAX_KEYS`", MAX_KEYS, "API keys of a user"),
    (
        "`DEFAULT_RATE_LIMIT`",
        DEFAULT_RATE_LIMIT,
        "requests an hour of an API key; MAX_RATE_LIMIT if an operator says so",
    ),
    ("`MAX_RATE_LIMIT`", MAX_RATE_LIMIT, "requests an hour that an operator can allow"),
)


def page() -> str:
    """Return the page."""
    operator_calls = _calls(OperatorClient)
    return "".join(
        (
            HEAD,
            table(("error", "meaning", "raised by", "status in examples/api.py"), _error_rows()),
            ERROR_NOTES,
            table(("limit", "value", "of"), [(name, str(value), meaning) for name, value, meaning in LIMITS]),
            f"\n## `Client`\n\n{documentation(Client)}\n",
            *(_call(f"Client.{name}", function) for name, function in _calls(Client).items()),
            *(_sub_client(name, cls) for name, cls in sub_clients().items()),
            OPERATORS,
            f"{documentation(OperatorClient)}\n",
            *(_call(f"OperatorClient.{name}", function) for name, function in operator_calls.items()),
            VALUES_HEAD,
            *(_value(getattr(client, name)) for name in VALUES),
            JSON_HEAD,
            *(_call(name, getattr(client, name)) for name in FUNCTIONS),
        )
    )


def _calls(cls: type) -> Mapping[str, Callable[..., Any]]:
    public = {name: value for name, value in vars(cls).items() if not name.startswith("_")}
    return {
        name: inspect.unwrap(getattr(cls, name))
        for name, value in public.items()
        if inspect.isfunction(value) or isinstance(value, classmethod)
    }


def sub_clients() -> Mapping[str, type]:
    """Return the classes of the client's subjects by the attributes that hold them, as `Client` annotates them."""
    return {name: cls for name, cls in get_type_hints(Client).items() if not name.startswith("_")}


def client_calls() -> Mapping[str, Callable[..., Any]]:
    """Return all calls of the client by their names; those of a subject are named as in `keys.create`."""
    by_subject = {
        f"{subject}.{name}": function
        for subject, cls in sub_clients().items()
        for name, function in _calls(cls).items()
    }
    return {**_calls(Client), **by_subject}


def _sub_client(subject: str, cls: type) -> str:
    calls = (_call(f"Client.{subject}.{name}", function) for name, function in _calls(cls).items())
    return f"\n## `Client.{subject}`\n\n{documentation(cls)}\n{''.join(calls)}"


def raised(name: str, calls: Mapping[str, Callable[..., Any]]) -> set[type]:
    """Return the errors that a docstring names after `Raises`, and those of the calls to which it refers there."""
    text = documentation(calls[name]).partition("Raises")[2]
    named: set[type] = {error for error in ERRORS if re.search(rf"\b{error.__name__}\b", text)}
    for other in re.findall(r"`(\w+)`", text):
        if other in calls and other != name:
            named |= raised(other, calls)
    return named


def _error_rows() -> Iterable[Sequence[str]]:
    calls = {**_calls(OperatorClient), **client_calls()}
    by_call = {name: raised(name, calls) for name in (*client_calls(), *_calls(OperatorClient))}
    for error in ERRORS:
        users = ", ".join(f"`{name}`" for name, errors_of in by_call.items() if error in errors_of)
        if error is errors.ServiceUnavailableError:
            users = "every call that is awaited"
        kind = "transient" if issubclass(error, errors.TransientError) else "permanent"
        yield f"`{error.__name__}`", f"{cell(documentation(error))} ({kind})", users, str(STATUS[error])


def _call(name: str, function: Callable[..., Any]) -> str:
    return f"\n### `{name}`\n\n```python\n{_signature(function)}\n```\n\n{documentation(function)}\n"


def _signature(function: Callable[..., Any]) -> str:
    """Return the definition as it is written, without `self` and the body."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)  # nosec B101 # noqa: S101 - a function
    parameters = [each for each in _parameters(definition.args) if each not in ("self", "cls")]
    word = "async def" if isinstance(definition, ast.AsyncFunctionDef) else "def"
    end = f") -> {ast.unparse(definition.returns)}" if definition.returns else ")"
    line = f"{word} {definition.name}({', '.join(parameters)}{end}"
    if len(line) <= WIDTH:
        return line
    indented = "".join(f"    {parameter},\n" for parameter in parameters)
    return f"{word} {definition.name}(\n{indented}{end}"


def _parameters(arguments: ast.arguments) -> Iterable[str]:
    """Yield each parameter with its default, and the star."""
    defaults: list[ast.expr | None] = [None] * (len(arguments.args) - len(arguments.defaults))
    for parameter, default in zip(arguments.args, [*defaults, *arguments.defaults], strict=True):
        yield _parameter(parameter, default)
    if arguments.kwonlyargs:
        yield "*"
    for parameter, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(parameter, default)


def _parameter(parameter: ast.arg, default: ast.expr | None) -> str:
    text = ast.unparse(parameter)
    return text if default is None else f"{text} = {ast.unparse(default)}"


def _value(cls: type) -> str:
    if issubclass(cls, Enum):
        lines = [f'{member.name} = "{member.value}"' for member in cls]
    else:
        meanings = field_meanings(cls)
        lines = [
            f"{name}: {annotation}" + (f"  # {' '.join(meanings[name].split())}" if name in meanings else "")
            for name, annotation in _annotations(cls).items()
        ]
    body = "".join(f"    {line}\n" for line in lines)
    return f"\n### `{cls.__name__}`\n\n{documentation(cls)}\n\n```python\nclass {cls.__name__}:\n{body}```\n"


def _annotations(cls: type) -> Mapping[str, str]:
    """Return the annotations as they are written, of base classes too."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)  # nosec B101 # noqa: S101 - the source of a class
        for node in definition.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[node.target.id] = ast.unparse(node.annotation)
    return found
