"""The command `vibe8`: words and exit codes. What a command does is in `worker.commands`.

Exit codes: 0 done, 1 the job failed, 2 bad usage or input, 3 a service cannot be reached.
"""

import asyncio
import sys
from collections.abc import Coroutine
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

import click
import typer

from domain.errors import (
    ForbiddenError,
    IllegalTransitionError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    ServiceUnavailableError,
    Vibe8Error,
)
from domain.text import one_line

BAD_INPUT = 2
UNREACHABLE = 3
_BAD_INPUT_ERRORS = (ForbiddenError, IllegalTransitionError, InvalidInputError, LimitExceededError, NotFoundError)

app = typer.Typer(
    name="vibe8",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Analyse Python code in the background: ten metrics a run, jobs through Redis, results in PostgreSQL.\n\n"
    "Start with `vibe8 analyze DIRECTORY` (needs nothing), or `vibe8 up` and then `vibe8 submit SOURCE --wait`.",
    epilog="Exit codes: 0 done, 1 the job failed, 2 bad usage or input, 3 a service cannot be reached.",
)

SourceArgument = Annotated[
    str,
    typer.Argument(metavar="SOURCE", help="A directory, a .py file, a .zip file, or https://host/owner/repository."),
]
BranchOption = Annotated[str | None, typer.Option(help="The branch of a repository; its default one if not given.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
UserOption = Annotated[str, typer.Option(help="The email of the user who asks.")]
JobArgument = Annotated[str, typer.Argument(metavar="ID", help="The job's id, as `vibe8 submit` printed it.")]
LOCAL_USER = "local@localhost"


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


@app.command()
def up() -> None:
    """Start PostgreSQL, Redis and a worker on this machine, in the foreground; Ctrl-C ends all of it."""
    from worker.up import up as run_up

    run_up()


@app.command()
def worker() -> None:
    """Run a worker on DATABASE_URL and REDIS_URL until SIGTERM, which drains it."""
    from worker.up import worker as run_worker

    run_worker()


@app.command()
def migrate(as_json: JsonOption = False) -> None:
    """Bring the database's schema up to date; safe while workers run, and when several do it at once."""
    from worker import commands

    _finish(commands.migrate(commands.Output(as_json=as_json)))


@app.command()
def analyze(source: SourceArgument, branch: BranchOption = None, as_json: JsonOption = False) -> None:
    """Run the ten collectors here and now, without queue or database.

    A token for a private repository is read from VIBE8_GIT_TOKEN.
    """
    from worker import commands

    _finish(commands.analyze(source, branch, commands.Output(as_json=as_json)))


@app.command()
def submit(
    source: SourceArgument,
    branch: BranchOption = None,
    project: Annotated[str | None, typer.Option(help="A name for the project.")] = None,
    author_type: Annotated[AuthorType | None, typer.Option(help="Who wrote the code.")] = None,
    author_model: Annotated[str | None, typer.Option(help="Which model, or who.")] = None,
    user: UserOption = LOCAL_USER,
    wait: Annotated[bool, typer.Option("--wait", help="Show progress, and take the result.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Hand a source to the workers, and print the job's id.

    A token for a private repository is read from VIBE8_GIT_TOKEN.
    """
    from domain.sources import Authorship
    from worker import commands

    authorship = Authorship(project_name=project, author_type=author_type, author_model=author_model)
    _finish(commands.submit(source, branch, authorship, user, commands.Output(as_json=as_json), wait=wait))


@app.command()
def jobs(
    status: Annotated[Status | None, typer.Option(help="Only jobs in this state.")] = None,
    since: Annotated[str | None, typer.Option(help="Only jobs younger than this, such as 90s, 30m, 1h, 2d.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    user: UserOption = LOCAL_USER,
    as_json: JsonOption = False,
) -> None:
    """List the user's jobs, newest first."""
    from domain.jobs import JobStatus
    from worker import commands

    wanted = None if status is None else JobStatus(status)
    _finish(commands.jobs(user, wanted, _duration(since), limit, commands.Output(as_json=as_json)))


@app.command()
def job(job_id: JobArgument, user: UserOption = LOCAL_USER, as_json: JsonOption = False) -> None:
    """Show one job and its attempts."""
    from worker import commands

    _finish(commands.job(user, job_id, commands.Output(as_json=as_json)))


@app.command()
def result(job_id: JobArgument, user: UserOption = LOCAL_USER, as_json: JsonOption = False) -> None:
    """Take a finished job's result: the job is deleted, the run is kept. An unfinished job's state is shown."""
    from worker import commands

    _finish(commands.result(user, job_id, commands.Output(as_json=as_json)))


@app.command()
def cancel(job_id: JobArgument, user: UserOption = LOCAL_USER, as_json: JsonOption = False) -> None:
    """Cancel a pending or running job."""
    from worker import commands

    _finish(commands.cancel(user, job_id, commands.Output(as_json=as_json)))


@app.command()
def retry(job_id: JobArgument, user: UserOption = LOCAL_USER, as_json: JsonOption = False) -> None:
    """Put a failed job back in line."""
    from worker import commands

    _finish(commands.retry(user, job_id, commands.Output(as_json=as_json)))


@app.command()
def cleanup(as_json: JsonOption = False) -> None:
    """Delete old finished jobs and end stale ones, as the workers do every six hours."""
    from worker import commands

    _finish(commands.clean_up(commands.Output(as_json=as_json)))


@app.command()
def doctor(
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing; the exit code tells.")] = False,
) -> None:
    """Check what a worker needs, and say what to do about what is amiss."""
    from worker.doctor import examine

    _finish(examine(as_json=as_json, quiet=quiet))


def _duration(words: str | None) -> timedelta | None:
    if words is None:
        return None
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}.get(words[-1:])
    if unit is None or not words[:-1].isdecimal() or len(words) > 8:
        raise InvalidInputError(f"--since must look like 90s, 30m, 1h or 2d, not {one_line(words, 40)!r}")
    return timedelta(**{unit: int(words[:-1])})


def _finish(command: Coroutine[Any, Any, int]) -> None:
    raise typer.Exit(asyncio.run(command))


def main() -> None:
    """Run the command line; every expected error is one line on standard error and an exit code."""
    try:
        code = app(standalone_mode=False)
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    except click.ClickException as error:
        error.show()
        code = BAD_INPUT
    except (KeyboardInterrupt, click.Abort):
        code = 130
    except Vibe8Error as error:
        print(f"vibe8: {error}", file=sys.stderr)
        code = _exit_code(error)
    sys.exit(code or 0)


def _exit_code(error: Vibe8Error) -> int:
    if isinstance(error, ServiceUnavailableError):
        return UNREACHABLE
    return BAD_INPUT if isinstance(error, _BAD_INPUT_ERRORS) else 1
