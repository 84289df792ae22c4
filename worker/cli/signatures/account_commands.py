"""Subcommands about plans: usage, user set-tier. `worker.cli.commands.accounts` implements them."""

from typing import Annotated

import typer

from domain.plans import Tier
from worker.cli.options import DEFAULT_USER, JsonOption, UserOption, examples_epilog, run_and_exit

app = typer.Typer()
user_app = typer.Typer(
    name="user",
    no_args_is_help=True,
    help="Change users: for operators.",
    epilog=examples_epilog("vibe8 user set-tier ann@example.org pro"),
)

TIERS = ", ".join(Tier)


@app.command(epilog=examples_epilog("vibe8 usage", "vibe8 usage --user ann@example.org --json"))
def usage(user: UserOption = DEFAULT_USER, as_json: JsonOption = False) -> None:
    """Show the user's plan, what is used of it, and when that begins again."""
    from worker.cli.commands.accounts import plans
    from worker.cli.output.writer import OutputWriter

    run_and_exit(plans.usage(user, OutputWriter(as_json=as_json)))


@user_app.command(
    "set-tier",
    epilog=examples_epilog("vibe8 user set-tier ann@example.org pro", "vibe8 user set-tier ann@example.org free"),
)
def set_tier(
    user: Annotated[str, typer.Argument(metavar="EMAIL", help="The user: an email, or an id.")],
    tier: Annotated[Tier, typer.Argument(metavar="TIER", help=f"The plan: {TIERS}.")],
    as_json: JsonOption = False,
) -> None:
    """Give a user another plan, from the next submission on.

    What the user has stays: unfinished jobs beyond the new limits run, and tracked repositories remain.
    """
    from worker.cli.commands.accounts import plans
    from worker.cli.output.writer import OutputWriter

    run_and_exit(plans.set_tier(user, tier, OutputWriter(as_json=as_json)))
