"""Subcommands about API keys: keys create, keys list, keys revoke. `worker.cli.commands.accounts` implements them."""

from typing import Annotated

import typer

from domain.keys import DEFAULT_RATE_LIMIT, MAX_RATE_LIMIT, Permission
from worker.cli.options import DEFAULT_USER, JsonOption, UserOption, examples_epilog, parse_age, run_and_exit

app = typer.Typer(
    name="keys",
    no_args_is_help=True,
    help="Make, list and revoke API keys, with which programs act for a user over HTTP.",
    epilog=examples_epilog("vibe8 keys create --name ci", "vibe8 keys list", "vibe8 keys revoke 3f2a"),
)

PERMISSIONS = ", ".join(Permission)


@app.command(
    epilog=examples_epilog(
        "vibe8 keys create --name ci",
        "vibe8 keys create --name dashboard --permission read --expires 90d",
        "vibe8 keys create --name oncall --permission operate --permission read",
    )
)
def create(
    name: Annotated[str, typer.Option(metavar="TEXT", help="What the key is for.")],
    permission: Annotated[
        list[Permission] | None,
        typer.Option(metavar="NAME", help=f"One of {PERMISSIONS}; read and submit if not given."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="AGE", help="How long it is valid, such as 12h or 90d; no end if not given.")
    ] = None,
    rate_limit: Annotated[
        int, typer.Option(metavar="N", min=1, max=MAX_RATE_LIMIT, help="Requests an hour.")
    ] = DEFAULT_RATE_LIMIT,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Make an API key, and print it. It cannot be shown again.

    The permission operate, and more requests an hour than the default, are an operator's to give: whoever can run this
    command on the fleet's database is one.
    """
    from worker.cli.commands.accounts import keys
    from worker.cli.output.writer import OutputWriter

    lifetime = parse_age(expires, "--expires")
    chosen = permission or [Permission.READ, Permission.SUBMIT]
    output = OutputWriter(as_json=as_json)
    run_and_exit(keys.create(user, name, chosen, rate_limit=rate_limit, lifetime=lifetime, output=output))


@app.command("list", epilog=examples_epilog("vibe8 keys list", "vibe8 keys list --user ann@example.org --json"))
def list_keys(user: UserOption = DEFAULT_USER, as_json: JsonOption = False) -> None:
    """List the user's API keys, newest first, also revoked and expired ones."""
    from worker.cli.commands.accounts import keys
    from worker.cli.output.writer import OutputWriter

    run_and_exit(keys.list_keys(user, OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 keys revoke 3f2a", "vibe8 keys revoke v8_k3j2h4g5f6d7"))
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, or the beginning of its id or of the key.")],
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Make an API key unusable, at once and for good."""
    from worker.cli.commands.accounts import keys
    from worker.cli.output.writer import OutputWriter

    run_and_exit(keys.revoke(user, key, OutputWriter(as_json=as_json)))
