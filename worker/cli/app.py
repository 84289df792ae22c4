"""The command `vibe8`: its words, and how every error becomes one line and an exit code.

What a command does is in a module of its own, imported when it runs: `vibe8 --help` stays quick.
"""

import gc
import sys
from typing import Annotated

import typer

from domain.errors import Vibe8Error
from worker.analysis.preload import PRELOAD
from worker.cli import job_commands, operator_commands
from worker.cli.exit_codes import BAD_INPUT, DONE, INTERRUPTED, exit_code
from worker.cli.options import BranchOption, JsonOption, examples_epilog, run_and_exit
from worker.cli.output.errors import print_error

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
    """Start PostgreSQL, Redis and a worker here, until Ctrl-C.

    The other commands of this user find them by themselves. Their data stays in VIBE8_HOME for the next time.
    """
    from worker.cli.commands.up import up as run_up

    run_up()


@app.command(epilog=examples_epilog("DATABASE_URL=postgresql://... REDIS_URL=redis://... vibe8 worker"))
def worker() -> None:
    """Run a worker until SIGTERM, which drains it.

    It needs DATABASE_URL and REDIS_URL (or a running `vibe8 up`); start as many as you like, on any machine. Running
    jobs get SHUTDOWN_GRACE seconds to finish, then they go back to the queue; a second signal sends them at once.
    """
    from worker.cli.commands.up import worker as run_worker

    run_worker()


@app.command(epilog=examples_epilog("DATABASE_URL=postgresql://... vibe8 migrate"))
def migrate(as_json: JsonOption = False) -> None:
    """Bring the database's schema up to date.

    Safe while workers run, and when several do it at once.
    """
    from worker.cli.commands import database
    from worker.cli.output.writer import OutputWriter

    run_and_exit(database.migrate(OutputWriter(as_json=as_json)))


@app.command(
    epilog=examples_epilog(
        "vibe8 analyze .",
        "vibe8 analyze https://github.com/psf/requests --branch main",
        "vibe8 analyze src --json > result.json",
    ),
    help=f"Run the ten collectors here and now, without any server.\n\n{job_commands.TOKEN_HELP}",
)
def analyze(source: SourceArgument, branch: BranchOption = None, as_json: JsonOption = False) -> None:
    """Run the ten collectors here and now, without any server."""
    from infrastructure.child_process.zygote_process import launch_zygote

    gc.disable()  # this process is for one analysis: nothing of what it makes is garbage before its end
    with launch_zygote(PRELOAD) as zygote:  # first of all: it imports the tools while we import the rest
        from worker.cli.commands import analyze as analyze_command
        from worker.cli.output.writer import OutputWriter

        run_and_exit(analyze_command.analyze(source, branch, OutputWriter(as_json=as_json), zygote))


@app.command(epilog=examples_epilog("vibe8 cleanup"))
def cleanup(as_json: JsonOption = False) -> None:
    """Delete old finished jobs and end stale ones.

    The workers do it by themselves every six hours; this does it now.
    """
    from worker.cli.commands import database
    from worker.cli.output.writer import OutputWriter

    run_and_exit(database.clean_up(OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 doctor", "vibe8 doctor --quiet && echo all is well"))
def doctor(
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing; the exit code tells.")] = False,
) -> None:
    """Check what a worker needs.

    Says what is amiss and what to do about it. Exit codes: 0 all is well, 1 something is amiss, 3 a service cannot be
    reached.
    """
    from worker.cli.commands.doctor import run_checks

    run_and_exit(run_checks(as_json=as_json, quiet=quiet))


app.add_typer(job_commands.app)
app.add_typer(operator_commands.app)


def main() -> None:
    """Run the command line; every expected error is one line on standard error and an exit code."""
    sys.exit(_run())


def _run() -> int:
    try:
        code = int(app(standalone_mode=False, prog_name="vibe8") or DONE)
        message = "interrupted" if code == INTERRUPTED else ""
    except typer.TyperException as error:
        message, code = _usage_message(error), BAD_INPUT
    except Vibe8Error as error:
        message, code = str(error), exit_code(error)
    except KeyboardInterrupt:
        message, code = "interrupted", INTERRUPTED
    if message:
        print_error(message)
    return code


def _usage_message(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    words = error.format_message().replace("Value error, ", "").rstrip(".")
    # Where the parser does not say which command it was reading, the command line does.
    command = " ".join(("vibe8", *sys.argv[1:2])) if context is None else context.command_path
    return f"{words[:1].lower()}{words[1:]} (see `{command} --help`)"
