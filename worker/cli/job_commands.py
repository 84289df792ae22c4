"""The words of the command about jobs: submit, list, look, take, cancel, retry, and who is told of their end."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import InvalidInputError
from worker.cli.options import DEFAULT_USER, BranchOption, JsonOption, examples_epilog, parse_age, run_and_exit

if TYPE_CHECKING:
    from worker.cli.commands.bulk import Selection

app = typer.Typer()

SOURCE_HELP = "A directory, a .py file, a .zip file, or https://host/owner/repository."
UserOption = Annotated[str, typer.Option(metavar="EMAIL", help="The user who asks.", show_default=True)]
OperatorOption = Annotated[bool, typer.Option("--operator", help="Act on anybody's job, in its owner's stead.")]
JobArgument = Annotated[str, typer.Argument(metavar="ID", help="The job's id, as `vibe8 submit` printed it.")]
TOKEN_HELP = "A token for a private repository is read from the variable VIBE8_GIT_TOKEN."  # nosec B105 # noqa: S105 - words


class AuthorType(StrEnum):
    """Who wrote the code."""

    HUMAN = "human"
    AI = "ai"


class Status(StrEnum):
    """A job's state."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


StatusOption = Annotated[
    Status | None, typer.Option(metavar="STATUS", help="Only jobs that are pending, running, completed or failed.")
]
SinceOption = Annotated[
    str | None, typer.Option(metavar="AGE", help="Only jobs younger than this, such as 90s, 30m, 1h or 2d.")
]
ManyArgument = Annotated[str | None, typer.Argument(metavar="[ID]", help="The job's id; or name many by the options.")]
WhoseOption = Annotated[
    str | None, typer.Option(metavar="EMAIL", help=f"Whose; {DEFAULT_USER} if not given, everybody's for --operator.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask before acting on many.")]


@app.command(
    epilog=examples_epilog(
        "vibe8 submit . --wait",
        "vibe8 submit https://github.com/psf/requests --project requests",
        "VIBE8_GIT_TOKEN=... vibe8 submit https://github.com/me/private --wait",
        "vibe8 submit --from sources.jsonl",
    ),
    help="Hand a source to the workers.\n\n"
    "Prints the job's id at once, or with --wait its progress and then its result. A directory goes as it lies on "
    f"disk, with the history of its HEAD. {TOKEN_HELP}\n\n"
    "With --from all of a file's sources are submitted, or none: a line each, such as "
    '{"source": "https://github.com/psf/requests", "branch": "main"}, and if you like project, author_type, '
    "author_model, idempotency_key and notify_url.",
)
def submit(
    source: Annotated[str | None, typer.Argument(metavar="SOURCE", help=SOURCE_HELP)] = None,
    from_file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Submit each line of this file of JSON; - is stdin.")
    ] = None,
    branch: BranchOption = None,
    project: Annotated[str | None, typer.Option(help="A name for the project.")] = None,
    author_type: Annotated[AuthorType | None, typer.Option(help="Who wrote the code.")] = None,
    author_model: Annotated[str | None, typer.Option(help="Which model, or who.")] = None,
    notify: Annotated[str | None, typer.Option(metavar="URL", help="An address to tell when it has ended.")] = None,
    user: UserOption = DEFAULT_USER,
    wait: Annotated[bool, typer.Option("--wait", help="Show progress, and take the result.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Hand a source to the workers."""
    from domain.sources import Authorship
    from worker.cli.commands.submit import submit as submit_command
    from worker.cli.commands.submit_file import submit_file
    from worker.cli.output.writer import OutputWriter

    authorship = Authorship(project_name=project, author_type=author_type, author_model=author_model)
    output = OutputWriter(as_json=as_json)
    if from_file is None:
        if source is None:
            raise InvalidInputError("missing argument 'SOURCE' (see `vibe8 submit --help`)")
        run_and_exit(submit_command(source, branch, authorship, user, output, wait=wait, notify=notify))
    elif source is not None or branch is not None or wait:
        raise InvalidInputError("--from goes with no SOURCE, --branch or --wait (see `vibe8 submit --help`)")
    else:
        run_and_exit(submit_file(from_file, authorship, notify, user, output))


@app.command(epilog=examples_epilog("vibe8 jobs", "vibe8 jobs --status failed --since 1h"))
def jobs(
    status: StatusOption = None,
    since: SinceOption = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="At most so many.")] = 50,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """List the user's jobs, newest first."""
    from domain.jobs import JobStatus
    from worker.cli.commands import jobs as commands
    from worker.cli.output.writer import OutputWriter

    wanted = None if status is None else JobStatus(status)
    run_and_exit(commands.jobs(user, wanted, parse_age(since), limit, OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 job 3f2a..."))
def job(
    job_id: JobArgument,
    user: UserOption = DEFAULT_USER,
    operator: OperatorOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show one job and what has happened to it."""
    from worker.cli.commands import jobs as commands
    from worker.cli.output.writer import OutputWriter

    run_and_exit(commands.job(user, job_id, OutputWriter(as_json=as_json), as_operator=operator))


@app.command(epilog=examples_epilog("vibe8 result 3f2a...", "vibe8 result 3f2a... --json > result.json"))
def result(job_id: JobArgument, user: UserOption = DEFAULT_USER, as_json: JsonOption = False) -> None:
    """Take a finished job's result.

    This deletes the job; the run is kept. An unfinished job is shown, and nothing is deleted.
    """
    from worker.cli.commands import jobs as commands
    from worker.cli.output.writer import OutputWriter

    run_and_exit(commands.result(user, job_id, OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 cancel 3f2a...", "vibe8 cancel --status pending --since 1h"))
def cancel(
    job_id: ManyArgument = None,
    status: StatusOption = None,
    since: SinceOption = None,
    user: WhoseOption = None,
    operator: OperatorOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """End a pending or running job, or many.

    Name many by status (pending or running; both if not given) or age: it says how many before it acts.
    """
    from worker.cli.commands import bulk
    from worker.cli.commands import jobs as commands
    from worker.cli.output.writer import OutputWriter

    output = OutputWriter(as_json=as_json)
    if _is_one(job_id, status, since):
        run_and_exit(commands.cancel(user or DEFAULT_USER, str(job_id), output, as_operator=operator))
    else:
        run_and_exit(bulk.cancel(_selection(user, status, since, operator), output, yes=yes))


@app.command(epilog=examples_epilog("vibe8 retry 3f2a...", "vibe8 retry --since 1h --operator --yes"))
def retry(
    job_id: ManyArgument = None,
    status: StatusOption = None,
    since: SinceOption = None,
    user: WhoseOption = None,
    operator: OperatorOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put a failed job back in line, or many.

    Name many by status (failed) or age: it says how many before it acts. A user's limit of
    unfinished jobs holds, the oldest come first; an operator's retries of many are not bound by it.
    """
    from worker.cli.commands import bulk
    from worker.cli.commands import jobs as commands
    from worker.cli.output.writer import OutputWriter

    output = OutputWriter(as_json=as_json)
    if _is_one(job_id, status, since):
        run_and_exit(commands.retry(user or DEFAULT_USER, str(job_id), output, as_operator=operator))
    else:
        run_and_exit(bulk.retry(_selection(user, status, since, operator), output, yes=yes))


@app.command(epilog=examples_epilog("vibe8 webhook --user ann@example.org"))
def webhook(user: UserOption = DEFAULT_USER, as_json: JsonOption = False) -> None:
    """Show the secrets that a user's receiver verifies notices with.

    Made from WEBHOOK_SECRETS, in its order; any one of them will do.
    """
    from worker.cli.commands import jobs as commands
    from worker.cli.output.writer import OutputWriter

    run_and_exit(commands.webhook(user, OutputWriter(as_json=as_json)))


def _is_one(job_id: str | None, status: Status | None, since: str | None) -> bool:
    if job_id is None and status is None and since is None:
        raise InvalidInputError("missing argument 'ID', or --status or --since to name many (see --help)")
    if job_id is not None and (status is not None or since is not None):
        raise InvalidInputError("--status and --since name many jobs, and an ID names one")
    return job_id is not None


def _selection(user: str | None, status: Status | None, since: str | None, operator: bool) -> "Selection":
    from domain.jobs import JobStatus
    from worker.cli.commands.bulk import Selection

    return Selection(
        email=user or (None if operator else DEFAULT_USER),
        status=None if status is None else JobStatus(status),
        since=parse_age(since),
        as_operator=operator,
    )
