"""Subcommands about jobs: submit, jobs, job, result, cancel, retry, webhook.

`worker.cli.commands` implements them.
"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import InvalidInputError
from worker.cli.options import (
    DEFAULT_USER,
    BranchOption,
    CollectorsOption,
    ExcludeOption,
    GateOption,
    IncludeOption,
    JsonOption,
    PolicyOption,
    UserOption,
    examples_epilog,
    parse_age,
    run_and_exit,
)

if TYPE_CHECKING:
    from worker.cli.commands.jobs.bulk import Selection

app = typer.Typer()

SOURCE_HELP = "A directory, a .py file, a .zip file, or https://host/owner/repository."
OperatorOption = Annotated[bool, typer.Option("--operator", help="Act on any user's job, as its owner.")]
JobArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The job's id or its beginning, as the commands print it.")
]
TOKEN_HELP = "A token for a private repository is read from the variable VIBE8_GIT_TOKEN."  # nosec B105 # noqa: S105 - a help text


class AuthorTypeChoice(StrEnum):
    """Who wrote the code."""

    HUMAN = "human"
    AI = "ai"


class StatusChoice(StrEnum):
    """The status of a job."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


StatusOption = Annotated[
    StatusChoice | None,
    typer.Option(metavar="STATUS", help="Only jobs that are pending, running, completed or failed."),
]
SinceOption = Annotated[
    str | None, typer.Option(metavar="AGE", help="Only jobs younger than this, such as 90s, 30m, 1h or 2d.")
]
OptionalJobArgument = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="The job's id; or select many jobs by the options.")
]
OwnerOption = Annotated[
    str | None,
    typer.Option(metavar="EMAIL", help=f"The owner; {DEFAULT_USER} if not given, with --operator all users."),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


@app.command(
    epilog=examples_epilog(
        "vibe8 submit . --wait",
        "vibe8 submit https://github.com/psf/requests --project requests",
        "VIBE8_GIT_TOKEN=... vibe8 submit https://github.com/me/private --wait",
        "vibe8 submit . --baseline 9c41 --policy policy.json --gate --wait",
        "vibe8 submit . --exclude 'tests/**' --collectors lint --tag domain=web",
        "vibe8 submit --from sources.jsonl",
    ),
    help="Submit a source to the workers.\n\n"
    "Prints the job's id at once, or with --wait its progress and then its result. A directory is uploaded with its "
    f"uncommitted changes and the git history of its HEAD, unless that is too large. {TOKEN_HELP}\n\n"
    "With --from, all sources of a file are submitted, or none. Each line is a JSON object, such as "
    '{"source": "https://github.com/psf/requests", "branch": "main"}. Its optional keys are branch, project, '
    "author_type, author_model, idempotency_key and notify_url.\n\n"
    "In a glob, * is any text within one part of a path, ? one character, and a part ** any directories. One that "
    "matches a directory matches all below it.",
)
def submit(
    source: Annotated[str | None, typer.Argument(metavar="SOURCE", help=SOURCE_HELP)] = None,
    from_file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Submit each line of this JSON Lines file; - is stdin."),
    ] = None,
    branch: BranchOption = None,
    project: Annotated[str | None, typer.Option(help="A name for the project.")] = None,
    author_type: Annotated[AuthorTypeChoice | None, typer.Option(help="Who wrote the code.")] = None,
    author_model: Annotated[str | None, typer.Option(help="The model or person that wrote the code.")] = None,
    notify: Annotated[
        str | None, typer.Option(metavar="URL", help="A URL that gets a webhook when the job ends.")
    ] = None,
    user: UserOption = DEFAULT_USER,
    wait: Annotated[bool, typer.Option("--wait", help="Show progress, and then the result.")] = False,
    no_history: Annotated[bool, typer.Option("--no-history", help="Leave out the git history of a directory.")] = False,
    baseline: Annotated[
        str | None, typer.Option(metavar="RUN", help="The run to compare with; the worker chooses it if not given.")
    ] = None,
    gate: GateOption = False,
    policy: PolicyOption = None,
    collectors: CollectorsOption = None,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="CATEGORY=VALUE", help="A tag of the run; may be given several times.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Submit a source to the workers."""
    from domain.sources import Authorship
    from worker.cli.commands.jobs.submit import submit as submit_command
    from worker.cli.commands.jobs.submit_file import submit_file
    from worker.cli.job_options import parse_job_options, parse_selection
    from worker.cli.output.writer import OutputWriter

    options = parse_job_options(parse_selection(collectors, include, exclude), tag)
    authorship = Authorship(project_name=project, author_type=author_type, author_model=author_model)
    output = OutputWriter(as_json=as_json)
    if from_file is None:
        if source is None:
            raise InvalidInputError("missing argument 'SOURCE' (see `vibe8 submit --help`)")
        command = submit_command(
            source,
            branch,
            authorship,
            user,
            output,
            wait=wait,
            with_history=not no_history,
            notify=notify,
            baseline=baseline,
            policy_file=policy,
            gate=gate,
            options=options,
        )
        run_and_exit(command)
    elif (source, branch, baseline, policy) != (None,) * 4 or wait or no_history or gate:
        raise InvalidInputError(
            "--from cannot be combined with SOURCE, --branch, --wait, --no-history, --baseline, --policy or --gate "
            "(see `vibe8 submit --help`)"
        )
    else:
        run_and_exit(submit_file(from_file, authorship, notify, user, output, options=options))


@app.command(epilog=examples_epilog("vibe8 jobs", "vibe8 jobs --status failed --since 1h"))
def jobs(
    status: StatusOption = None,
    since: SinceOption = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The maximum number of jobs.")] = 50,
    user: UserOption = DEFAULT_USER,
    all_users: Annotated[bool, typer.Option("--all", help="The jobs of all users, the last changed first.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the user's jobs, newest first; with --all, those of all users, with owner, attempt, duration and worker."""
    from domain.jobs import JobStatus
    from worker.cli.commands.jobs import jobs as commands
    from worker.cli.output.writer import OutputWriter

    only = None if status is None else JobStatus(status)
    output = OutputWriter(as_json=as_json)
    if all_users:
        run_and_exit(commands.all_jobs(only, parse_age(since), limit, output))
    else:
        run_and_exit(commands.jobs(user, only, parse_age(since), limit, output))


@app.command(epilog=examples_epilog("vibe8 job 3f2a"))
def job(
    job_id: JobArgument,
    user: UserOption = DEFAULT_USER,
    operator: OperatorOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show one job and its history."""
    from worker.cli.commands.jobs import jobs as commands
    from worker.cli.output.writer import OutputWriter

    run_and_exit(commands.job(user, job_id, OutputWriter(as_json=as_json), as_operator=operator))


@app.command(
    epilog=examples_epilog("vibe8 result 3f2a", "vibe8 result 3f2a --gate", "vibe8 result 3f2a --json > result.json")
)
def result(
    job_id: JobArgument,
    user: UserOption = DEFAULT_USER,
    take: Annotated[bool, typer.Option("--take", help="Delete the finished job. Its run stays.")] = False,
    gate: GateOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show a finished job's result. An unfinished job is shown as it is."""
    from worker.cli.commands.jobs import jobs as commands
    from worker.cli.output.writer import OutputWriter

    run_and_exit(commands.result(user, job_id, OutputWriter(as_json=as_json), take=take, gate=gate))


@app.command(epilog=examples_epilog("vibe8 cancel 3f2a...", "vibe8 cancel --status pending --since 1h"))
def cancel(
    job_id: OptionalJobArgument = None,
    status: StatusOption = None,
    since: SinceOption = None,
    user: OwnerOption = None,
    operator: OperatorOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Cancel a pending or running job, or many.

    Select many by status (pending or running; both if not given) or age. It asks for confirmation first.
    """
    from worker.cli.commands.jobs import bulk
    from worker.cli.commands.jobs import jobs as commands
    from worker.cli.output.writer import OutputWriter

    output = OutputWriter(as_json=as_json)
    if _is_one(job_id, status, since):
        run_and_exit(commands.cancel(user or DEFAULT_USER, str(job_id), output, as_operator=operator))
    else:
        run_and_exit(bulk.cancel(_selection(user, status, since, operator), output, yes=yes))


@app.command(epilog=examples_epilog("vibe8 retry 3f2a...", "vibe8 retry --since 1h --operator --yes"))
def retry(
    job_id: OptionalJobArgument = None,
    status: StatusOption = None,
    since: SinceOption = None,
    user: OwnerOption = None,
    operator: OperatorOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Retry a failed job, or many.

    Select many by status (failed) or age. It asks for confirmation first. The oldest are retried, up to the user's
    limit of unfinished jobs; the limit does not apply to many jobs with --operator.
    """
    from worker.cli.commands.jobs import bulk
    from worker.cli.commands.jobs import jobs as commands
    from worker.cli.output.writer import OutputWriter

    output = OutputWriter(as_json=as_json)
    if _is_one(job_id, status, since):
        run_and_exit(commands.retry(user or DEFAULT_USER, str(job_id), output, as_operator=operator))
    else:
        run_and_exit(bulk.retry(_selection(user, status, since, operator), output, yes=yes))


@app.command(epilog=examples_epilog("vibe8 webhook --user ann@example.org"))
def webhook(user: UserOption = DEFAULT_USER, as_json: JsonOption = False) -> None:
    """Show the secrets that verify a user's webhooks.

    They are derived from WEBHOOK_SECRETS, in its order. A receiver may use any of them.
    """
    from worker.cli.commands.jobs import jobs as commands
    from worker.cli.output.writer import OutputWriter

    run_and_exit(commands.webhook(user, OutputWriter(as_json=as_json)))


def _is_one(job_id: str | None, status: StatusChoice | None, since: str | None) -> bool:
    if job_id is None and status is None and since is None:
        raise InvalidInputError("missing argument 'ID', or --status or --since to select many jobs (see --help)")
    if job_id is not None and (status is not None or since is not None):
        raise InvalidInputError("--status and --since select many jobs, an ID names one; use either")
    return job_id is not None


def _selection(user: str | None, status: StatusChoice | None, since: str | None, operator: bool) -> "Selection":
    from domain.jobs import JobStatus
    from worker.cli.commands.jobs.bulk import Selection

    return Selection(
        email=user or (None if operator else DEFAULT_USER),
        status=None if status is None else JobStatus(status),
        since=parse_age(since),
        as_operator=operator,
    )
