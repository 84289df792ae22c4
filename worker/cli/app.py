"""The command `vibe8`: its general subcommands, and the translation of errors to one line and an exit code.

Each subcommand imports its implementation when it runs, so that `vibe8 --help` starts quickly.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from domain.errors import NotFoundError, Vibe8Error
from worker.cli.exit_codes import BAD_INPUT, DONE, INTERRUPTED, exit_code
from worker.cli.options import (
    BranchOption,
    CollectorsOption,
    ExcludeOption,
    GateOption,
    IncludeOption,
    JsonOption,
    OptionalFormatOption,
    PolicyOption,
    examples_epilog,
    run_and_exit,
)
from worker.cli.output.errors import print_error
from worker.cli.signatures import (
    account_commands,
    evaluation_commands,
    job_commands,
    key_commands,
    operator_commands,
    report_commands,
    repository_commands,
    run_commands,
)

app = typer.Typer(
    name="vibe8",
    rich_markup_mode=None,  # plain text starts faster, and can be searched and piped
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 100},
    help="Measure Python code by ten metrics: on this machine, or as jobs for workers on many machines.\n\n"
    "\b\nStart here:\n"
    "  vibe8 analyze .          needs no server at all\n"
    "  vibe8 up                 runs PostgreSQL, Redis and a worker on this machine\n"
    "  vibe8 submit . --wait    in another terminal: submits a job and waits for it",
    epilog="\b\n"
    "Exit codes: 0 done, 1 the job failed, 2 bad usage or input, 3 a service cannot be reached, "
    "4 rejected by the gate, 130 interrupted.\n"
    "Settings come from the environment; docs/configuration.md lists them, `vibe8 doctor` checks them.",
)

SourceArgument = Annotated[str, typer.Argument(metavar="SOURCE", help=job_commands.SOURCE_HELP)]


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


@app.command(epilog=examples_epilog("vibe8 up", "VIBE8_HOME=/data/vibe8 ARQ_MAX_JOBS=4 vibe8 up"))
def up() -> None:
    """Run PostgreSQL, Redis, a worker and the HTTP service on this machine, until Ctrl-C.

    This user's other commands find them without any setting. Their data stays in VIBE8_HOME.
    """
    from worker.cli.commands.up import up as run_up

    run_up()


@app.command(epilog=examples_epilog("DATABASE_URL=postgresql://... REDIS_URL=redis://... vibe8 worker"))
def worker() -> None:
    """Run a worker until SIGTERM, which drains it.

    It needs DATABASE_URL and REDIS_URL, or a running `vibe8 up`. Start as many as you like, on any machines. After
    SIGTERM it takes no new job. Running jobs have SHUTDOWN_GRACE seconds to finish and then go back to the queue; a
    second signal sends them back at once.
    """
    from worker.cli.commands.up import worker as run_worker

    run_worker()


@app.command(epilog=examples_epilog("vibe8 serve", "HTTP_PORT=80 HTTP_ALLOWED_HOSTS=vibe8.example.org vibe8 serve"))
def serve(
    with_parent: Annotated[
        bool, typer.Option("--with-parent", help="End when the process that started it ends, however that ends.")
    ] = False,
) -> None:
    """Serve the API over HTTP until SIGTERM: jobs, runs and what operators do.

    It needs DATABASE_URL and REDIS_URL, or a running `vibe8 up`. Start as many as you like behind one address. After
    SIGTERM it takes no new connection, and answers have 20 seconds to end.
    """
    from worker.cli.commands.serve import serve as run_service

    run_service(with_parent=with_parent)


@app.command(epilog=examples_epilog("DATABASE_URL=postgresql://... vibe8 migrate"))
def migrate(as_json: JsonOption = False) -> None:
    """Update the database schema.

    Safe while workers run, and when several processes run it at the same time.
    """
    from worker.cli.commands.operators import database
    from worker.cli.output.writer import OutputWriter

    run_and_exit(database.migrate(OutputWriter(as_json=as_json)))


@app.command(
    epilog=examples_epilog(
        "vibe8 analyze .",
        "vibe8 analyze https://github.com/psf/requests --branch main",
        "vibe8 analyze src --json > result.json",
        "vibe8 analyze . --format sarif > vibe8.sarif",
        "vibe8 analyze . --format html > report.html",
        "vibe8 analyze . --baseline result.json --gate",
        "vibe8 analyze . --exclude 'tests/**' --collectors lint,security",
    ),
    help=f"Run the ten collectors on this machine, without any server.\n\n{job_commands.TOKEN_HELP}",
)
def analyze(
    source: SourceArgument,
    branch: BranchOption = None,
    as_json: JsonOption = False,
    export_format: OptionalFormatOption = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Neither use nor keep facts of earlier runs; the numbers are the same.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no package index for the newest versions of packages.")
    ] = False,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An earlier result to compare with, as --json printed it.")
    ] = None,
    gate: GateOption = False,
    policy: PolicyOption = None,
    collectors: CollectorsOption = None,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
) -> None:
    """Run the ten collectors on this machine, without any server."""
    from worker.cli.commands.analyze import GateOptions, run_analysis
    from worker.cli.job_options import parse_selection

    code = run_analysis(
        source,
        branch,
        as_json=as_json,
        use_cache=not no_cache,
        export_format=export_format,
        offline=offline,
        gate=GateOptions(baseline=baseline, policy=policy, enforced=gate),
        selection=parse_selection(collectors, include, exclude),
    )
    raise typer.Exit(code)


@app.command(epilog=examples_epilog("vibe8 cleanup"))
def cleanup(as_json: JsonOption = False) -> None:
    """Delete old finished jobs, and fail stale ones.

    Workers do this every six hours.
    """
    from worker.cli.commands.operators import database
    from worker.cli.output.writer import OutputWriter

    run_and_exit(database.clean_up(OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 doctor", "vibe8 doctor --quiet && vibe8 worker"))
def doctor(
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing; use the exit code.")] = False,
    problems: Annotated[bool, typer.Option("--problems", help="Print only what failed or is a warning.")] = False,
) -> None:
    """Check what a worker needs.

    Prints each check, and what to do where one fails. Exit codes: 0 no check failed, 1 a check failed, 3 a service
    cannot be reached.
    """
    from worker.cli.commands.doctor.checks import run_checks

    run_and_exit(run_checks(as_json=as_json, quiet=quiet, only_problems=problems))


app.add_typer(job_commands.app)
app.add_typer(run_commands.app)
app.add_typer(evaluation_commands.app)
app.add_typer(operator_commands.app)
app.add_typer(report_commands.app)
app.add_typer(key_commands.app)
app.add_typer(repository_commands.app)
app.add_typer(account_commands.app)
app.add_typer(account_commands.user_app)


def run() -> int:
    """Run the command line, and return the exit code. Each expected error becomes one line on standard error."""
    try:
        code = int(app(standalone_mode=False, prog_name="vibe8") or DONE)
        message = "interrupted" if code == INTERRUPTED else ""
    except typer.TyperException as error:
        message, code = _usage_message(error), BAD_INPUT
    except Vibe8Error as error:
        message, code = _advised(error), exit_code(error)
    except KeyboardInterrupt:
        message, code = "interrupted", INTERRUPTED
    if message:
        print_error(message)
    return code


def _advised(error: Vibe8Error) -> str:
    """Return the message; a job or a run that is not found may be another user's."""
    message = str(error)
    if isinstance(error, NotFoundError) and message.startswith("there is no evaluation "):
        return f"{message}; `vibe8 evaluations` lists them, of another user with `--user`"
    if isinstance(error, NotFoundError) and message.startswith(("there is no job ", "there is no run ")):
        return f"{message}; `vibe8 jobs` and `vibe8 runs` list them, of another user with `--user`"
    return message


def _usage_message(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)  # only typer's UsageError has one, and typer does not export that class
    message = error.format_message().replace("Value error, ", "").rstrip(".")
    # An error without a context does not name the subcommand, so take it from the command line.
    command = " ".join(("vibe8", *sys.argv[1:2])) if context is None else context.command_path
    return f"{message[:1].lower()}{message[1:]} (see `{command} --help`)"
