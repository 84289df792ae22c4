"""The operators' words of the command: workers, top, pause, resume, drain."""

from typing import Annotated

import typer

from worker.cli.options import JsonOption, examples_epilog, run_and_exit

app = typer.Typer()

WorkerArgument = Annotated[
    str | None,
    typer.Argument(metavar="[WORKER]", help="The worker's id, as `vibe8 workers` shows it; all if not given."),
]


@app.command(epilog=examples_epilog("vibe8 workers", "vibe8 workers --json"))
def workers(as_json: JsonOption = False) -> None:
    """List the workers, their jobs and their last report."""
    from worker.cli.commands import operators
    from worker.cli.output.writer import OutputWriter

    run_and_exit(operators.workers(OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 top", "vibe8 top --json"))
def top(as_json: JsonOption = False) -> None:
    """JobWatcher queue and workers live, until Ctrl-C; in a pipe, one look."""
    from worker.cli.commands import operators
    from worker.cli.output.writer import OutputWriter

    run_and_exit(operators.top(OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 pause"))
def pause(as_json: JsonOption = False) -> None:
    """Keep all workers from claiming jobs.

    Running jobs go on, submissions wait. `vibe8 resume` ends this.
    """
    from worker.cli.commands import operators
    from worker.cli.output.writer import OutputWriter

    run_and_exit(operators.pause(OutputWriter(as_json=as_json), on=True))


@app.command(epilog=examples_epilog("vibe8 resume"))
def resume(as_json: JsonOption = False) -> None:
    """Let the workers claim again after `vibe8 pause`."""
    from worker.cli.commands import operators
    from worker.cli.output.writer import OutputWriter

    run_and_exit(operators.pause(OutputWriter(as_json=as_json), on=False))


@app.command(epilog=examples_epilog("vibe8 drain", "vibe8 drain host-1a2b3c4d"))
def drain(worker: WorkerArgument = None, as_json: JsonOption = False) -> None:
    """Tell one worker, or all, to finish their jobs and end.

    As SIGTERM does; a supervisor that restarts them must be told first, or they come back.
    """
    from worker.cli.commands import operators
    from worker.cli.output.writer import OutputWriter

    run_and_exit(operators.drain(worker, OutputWriter(as_json=as_json)))
