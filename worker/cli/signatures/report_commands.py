"""Subcommands about shared reports: share, shares, unshare. `worker.cli.commands.runs.sharing` implements them."""

from typing import Annotated

import typer

from domain.reports import MAX_VIEWS
from worker.cli.options import DEFAULT_USER, JsonOption, UserOption, examples_epilog, parse_age, run_and_exit

app = typer.Typer()


@app.command(
    epilog=examples_epilog(
        "vibe8 share 9c41",
        "vibe8 share 9c41 --expires 30d --max-views 100",
        "vibe8 share 9c41 --password-stdin < password.txt",
    )
)
def share(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id or its beginning.")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read a password, which readers must give, from standard input.")
    ] = False,
    expires: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="How long it can be read, such as 30d; no end if not given."),
    ] = None,
    max_views: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=MAX_VIEWS, help="How often it can be read at most.")
    ] = None,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Share the report of a finished analysis, and print its code.

    Anyone with the code can read the report at /r/CODE of `vibe8 serve`, without the names of people.
    """
    from worker.cli.commands.runs import sharing
    from worker.cli.output.writer import OutputWriter

    lifetime = parse_age(expires, "--expires")
    output = OutputWriter(as_json=as_json)
    run_and_exit(
        sharing.share(user, run_id, with_password=password_stdin, lifetime=lifetime, max_views=max_views, output=output)
    )


@app.command(epilog=examples_epilog("vibe8 shares", "vibe8 shares --limit 5 --json"))
def shares(
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The maximum number of reports.")] = 50,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """List the reports that the user has shared, newest first, also withdrawn and expired ones."""
    from worker.cli.commands.runs import sharing
    from worker.cli.output.writer import OutputWriter

    run_and_exit(sharing.shares(user, limit, OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 unshare 4Yx0vT9mQe2LrW8sKd1uBz"))
def unshare(
    code: Annotated[str, typer.Argument(metavar="CODE", help="The code of the shared report.")],
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Withdraw a shared report: its code shows nothing any more. The run stays."""
    from worker.cli.commands.runs import sharing
    from worker.cli.output.writer import OutputWriter

    run_and_exit(sharing.unshare(user, code, OutputWriter(as_json=as_json)))
