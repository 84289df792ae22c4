"""Subcommands for operators: workers, top, pause, resume, drain, webhooks, resend, audit, sign-in."""

from typing import Annotated

import typer

from domain.audit import Action
from domain.webhooks import DeliveryState
from worker.cli.options import DEFAULT_USER, JsonOption, UserOption, examples_epilog, parse_age, run_and_exit

app = typer.Typer()

ACTIONS = ", ".join(Action)

WorkerArgument = Annotated[
    str | None,
    typer.Argument(metavar="[WORKER]", help="The worker's id, as `vibe8 workers` shows it; all if not given."),
]


@app.command(epilog=examples_epilog("vibe8 workers", "vibe8 workers --json"))
def workers(as_json: JsonOption = False) -> None:
    """List the workers, their jobs and their last report."""
    from worker.cli.commands.operators import fleet
    from worker.cli.output.writer import OutputWriter

    run_and_exit(fleet.workers(OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 top", "vibe8 top --json"))
def top(as_json: JsonOption = False) -> None:
    """Watch the queue and the workers until Ctrl-C. In a pipe, print their state once."""
    from worker.cli.commands.operators import fleet
    from worker.cli.output.writer import OutputWriter

    run_and_exit(fleet.top(OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 pause"))
def pause(as_json: JsonOption = False) -> None:
    """Keep all workers from claiming jobs.

    Running jobs continue, and submitted jobs wait until `vibe8 resume`.
    """
    from worker.cli.commands.operators import fleet
    from worker.cli.output.writer import OutputWriter

    run_and_exit(fleet.set_paused(OutputWriter(as_json=as_json), paused=True))


@app.command(epilog=examples_epilog("vibe8 resume"))
def resume(as_json: JsonOption = False) -> None:
    """Let the workers claim jobs again after `vibe8 pause`."""
    from worker.cli.commands.operators import fleet
    from worker.cli.output.writer import OutputWriter

    run_and_exit(fleet.set_paused(OutputWriter(as_json=as_json), paused=False))


@app.command(epilog=examples_epilog("vibe8 drain", "vibe8 drain host-1a2b3c4d"))
def drain(worker: WorkerArgument = None, as_json: JsonOption = False) -> None:
    """Tell one worker, or all, to finish their jobs and stop.

    This has the effect of SIGTERM. Stop any process supervisor first, or it restarts the workers.
    """
    from worker.cli.commands.operators import fleet
    from worker.cli.output.writer import OutputWriter

    run_and_exit(fleet.drain(worker, OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 webhooks", "vibe8 webhooks --state waiting --json"))
def webhooks(
    state: Annotated[
        DeliveryState | None,
        typer.Option(metavar="STATE", help="`waiting` or `given up`; those that have ended if not given."),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1_000, help="The maximum number of deliveries.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List webhook deliveries of all users: their state, attempts, last error and next try."""
    from worker.cli.commands.operators import webhooks as command
    from worker.cli.output.writer import OutputWriter

    run_and_exit(command.webhooks(state, limit, OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 resend 3f1c9a1e-8b7d-4c5e-9f00-aa11bb22cc33"))
def resend(
    delivery: Annotated[
        str, typer.Argument(metavar="DELIVERY", help="The delivery's id, as `vibe8 webhooks` shows it.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Send a webhook again within seconds, also one that was given up or has arrived.

    Its id stays, so its receiver can see that it had it before.
    """
    from worker.cli.commands.operators import webhooks as command
    from worker.cli.output.writer import OutputWriter

    run_and_exit(command.resend(delivery, OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 audit --since 1d", "vibe8 audit --user ann@example.org --action delete_run"))
def audit(
    since: Annotated[
        str | None, typer.Option(metavar="AGE", help="Only entries younger than this, such as 90s, 30m, 1h or 2d.")
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="EMAIL", help="Only entries of this user: an email, or an id.")
    ] = None,
    action: Annotated[Action | None, typer.Option(metavar="NAME", help=f"Only this action: {ACTIONS}.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=100_000, help="The maximum number of entries.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List who did what, newest first: the audit log of all users."""
    from worker.cli.commands.operators import audit as command
    from worker.cli.output.writer import OutputWriter

    run_and_exit(command.audit(user, action, parse_age(since), limit, OutputWriter(as_json=as_json)))


@app.command(
    epilog=examples_epilog(
        "vibe8 sign-in",
        "vibe8 sign-in --operator",
        "vibe8 sign-in --user ann@example.org --address https://vibe8.example.org",
    )
)
def sign_in(
    user: UserOption = DEFAULT_USER,
    operator: Annotated[bool, typer.Option("--operator", help="Allow also what operators do: the page /ops.")] = False,
    address: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The service's address; that of HTTP_HOST and HTTP_PORT if not given."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print a link to `vibe8 serve` that signs a user in, once, within ten minutes.

    Whoever can run this command on the fleet's database may sign in as any user.
    """
    from worker.cli.commands.accounts import sign_in as command
    from worker.cli.output.writer import OutputWriter

    run_and_exit(command.sign_in(user, address, OutputWriter(as_json=as_json), operates=operator))
