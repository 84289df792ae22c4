"""The command `vibe8`: its words, and how every error becomes one line and an exit code.

What a command does is in a module of its own, imported when it runs: `vibe8 --help` stays quick.
"""

import sys
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from domain.errors import InvalidInputError, Vibe8Error
from domain.text import one_line
from worker import cli_operate
from worker.cli_common import JsonOption, examples, finish
from worker.conventions import BAD_INPUT, DONE, INTERRUPTED, LOCAL_USER, exit_code

MAX_DAYS = 3_650

app = typer.Typer(
    name="vibe8",
    rich_markup_mode=None,  # plain text: quick, and good to search and to pipe
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 100},
    help="Measure Python code by ten metrics: here and now, or as jobs for workers on many machines.\n\n"
    "\b\nStart here:\n"
    "  vibe8 analyze .          needs no server at all\n"
    "  vibe8 up                 PostgreSQL, Redis and a worker on this machine\n"
    "  vibe8 submit . --wait    in another terminal: through the queue",
    epilog="\b\n"
    "Exit codes: 0 done, 1 the job failed, 2 bad usage or input, 3 a service cannot be reached.\n"
    "Settings come from the environment; README.md lists them, `vibe8 doctor` checks them.",
)

SourceArgument = Annotated[
    str,
    typer.Argument(metavar="SOURCE", help="A directory, a .py file, a .zip file, or https://host/owner/repository."),
]
BranchOption = Annotated[str | None, typer.Option(help="The repository's branch; its default one if not given.")]
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


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if show_version:
        from importlib.metadata import version

        print(f"vibe8 {version('vibe8-worker')}")
        raise typer.Exit(DONE)
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(BAD_INPUT)


@app.command(epilog=examples("vibe8 up", "VIBE8_HOME=/data/vibe8 ARQ_MAX_JOBS=4 vibe8 up"))
def up() -> None:
    """Start PostgreSQL, Redis and a worker here, until Ctrl-C.

    The other commands of this user find them by themselves. Their data stays in VIBE8_HOME for the next time.
    """
    from worker.up import up as run_up

    run_up()


@app.command(epilog=examples("DATABASE_URL=postgresql://... REDIS_URL=redis://... vibe8 worker"))
def worker() -> None:
    """Run a worker until SIGTERM, which drains it.

    It needs DATABASE_URL and REDIS_URL (or a running `vibe8 up`); start as many as you like, on any machine. Running
    jobs get SHUTDOWN_GRACE seconds to finish, then they go back to the queue; a second signal sends them at once.
    """
    from worker.up import worker as run_worker

    run_worker()


@app.command(epilog=examples("DATABASE_URL=postgresql://... vibe8 migrate"))
def migrate(as_json: JsonOption = False) -> None:
    """Bring the database's schema up to date.

    Safe while workers run, and when several do it at once.
    """
    from worker import upkeep
    from worker.output import Output

    finish(upkeep.migrate(Output(as_json=as_json)))


@app.command(
    epilog=examples(
        "vibe8 analyze .",
        "vibe8 analyze https://github.com/psf/requests --branch main",
        "vibe8 analyze src --json > result.json",
    ),
    help=f"Run the ten collectors here and now, without any server.\n\n{TOKEN_HELP}",
)
def analyze(source: SourceArgument, branch: BranchOption = None, as_json: JsonOption = False) -> None:
    """Run the ten collectors here and now, without any server."""
    from worker import local
    from worker.output import Output

    finish(local.analyze(source, branch, Output(as_json=as_json)))


@app.command(
    epilog=examples(
        "vibe8 submit . --wait",
        "vibe8 submit https://github.com/psf/requests --project requests",
        "VIBE8_GIT_TOKEN=... vibe8 submit https://github.com/me/private --wait",
    ),
    help="Hand a source to the workers.\n\n"
    "Prints the job's id at once, or with --wait its progress and then its result. A directory goes as it lies on "
    f"disk, with the history of its HEAD. {TOKEN_HELP}",
)
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
    """Hand a source to the workers."""
    from domain.sources import Authorship
    from worker.output import Output
    from worker.submit import submit as hand_over

    authorship = Authorship(project_name=project, author_type=author_type, author_model=author_model)
    finish(hand_over(source, branch, authorship, user, Output(as_json=as_json), wait=wait))


@app.command(epilog=examples("vibe8 jobs", "vibe8 jobs --status failed --since 1h"))
def jobs(
    status: Annotated[
        Status | None,
        typer.Option(metavar="STATUS", help="Only jobs that are pending, running, completed or failed."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="AGE", help="Only jobs younger than this, such as 90s, 30m, 1h or 2d.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="At most so many.")] = 50,
    user: UserOption = LOCAL_USER,
    as_json: JsonOption = False,
) -> None:
    """List the user's jobs, newest first."""
    from domain.jobs import JobStatus
    from worker import commands
    from worker.output import Output

    wanted = None if status is None else JobStatus(status)
    finish(commands.jobs(user, wanted, _duration(since), limit, Output(as_json=as_json)))


@app.command(epilog=examples("vibe8 job 3f2a..."))
def job(
    job_id: JobArgument,
    user: UserOption = LOCAL_USER,
    operator: OperatorOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show one job and what has happened to it."""
    from worker import commands
    from worker.output import Output

    finish(commands.job(user, job_id, Output(as_json=as_json), as_operator=operator))


@app.command(epilog=examples("vibe8 result 3f2a...", "vibe8 result 3f2a... --json > result.json"))
def result(job_id: JobArgument, user: UserOption = LOCAL_USER, as_json: JsonOption = False) -> None:
    """Take a finished job's result.

    This deletes the job; the run is kept. An unfinished job is shown, and nothing is deleted.
    """
    from worker import commands
    from worker.output import Output

    finish(commands.result(user, job_id, Output(as_json=as_json)))


@app.command(epilog=examples("vibe8 cancel 3f2a..."))
def cancel(
    job_id: JobArgument,
    user: UserOption = LOCAL_USER,
    operator: OperatorOption = False,
    as_json: JsonOption = False,
) -> None:
    """End a pending or running job."""
    from worker import commands
    from worker.output import Output

    finish(commands.cancel(user, job_id, Output(as_json=as_json), as_operator=operator))


@app.command(epilog=examples("vibe8 retry 3f2a..."))
def retry(
    job_id: JobArgument,
    user: UserOption = LOCAL_USER,
    operator: OperatorOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put a failed job back in line."""
    from worker import commands
    from worker.output import Output

    finish(commands.retry(user, job_id, Output(as_json=as_json), as_operator=operator))


@app.command(epilog=examples("vibe8 cleanup"))
def cleanup(as_json: JsonOption = False) -> None:
    """Delete old finished jobs and end stale ones.

    The workers do it by themselves every six hours; this does it now.
    """
    from worker import upkeep
    from worker.output import Output

    finish(upkeep.clean_up(Output(as_json=as_json)))


@app.command(epilog=examples("vibe8 doctor", "vibe8 doctor --quiet && echo all is well"))
def doctor(
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing; the exit code tells.")] = False,
) -> None:
    """Check what a worker needs.

    Says what is amiss and what to do about it. Exit codes: 0 all is well, 1 something is amiss, 3 a service cannot be
    reached.
    """
    from worker.doctor import examine

    finish(examine(as_json=as_json, quiet=quiet))


def _duration(words: str | None) -> timedelta | None:
    if words is None:
        return None
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}.get(words[-1:])
    if unit is None or not words[:-1].isdecimal() or len(words) > 12:
        raise InvalidInputError(f"--since must look like 90s, 30m, 1h or 2d, not {one_line(words, 40)!r}")
    return min(timedelta(**{unit: int(words[:-1])}), timedelta(days=MAX_DAYS))


app.add_typer(cli_operate.app)


def main() -> None:
    """Run the command line; every expected error is one line on standard error and an exit code."""
    sys.exit(_run())


def _run() -> int:
    try:
        code = int(app(standalone_mode=False, prog_name="vibe8") or DONE)
    except typer.TyperException as error:
        return _complain(_usage(error), BAD_INPUT)
    except Vibe8Error as error:
        return _complain(str(error), exit_code(error))
    except KeyboardInterrupt:
        code = INTERRUPTED
    return _complain("interrupted", code) if code == INTERRUPTED else code


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    words = error.format_message().replace("Value error, ", "").rstrip(".")
    # Where the parser does not say which command it was reading, the command line does.
    command = " ".join(("vibe8", *sys.argv[1:2])) if context is None else context.command_path
    return f"{words[:1].lower()}{words[1:]} (see `{command} --help`)"


def _complain(words: str, code: int) -> int:
    print(f"vibe8: {one_line(words, 2_000)}", file=sys.stderr)
    return code
