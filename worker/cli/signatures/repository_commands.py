"""Subcommands about tracked repositories: `vibe8 repo ...`. `worker.cli.commands.repositories` implements them."""

from typing import Annotated

import typer

from domain.tracking.follows import FollowWhen
from domain.tracking.repository import AnalysisStatus
from worker.cli.options import DEFAULT_USER, JsonOption, PolicyOption, UserOption, examples_epilog, run_and_exit

app = typer.Typer(
    name="repo",
    no_args_is_help=True,
    help="Track git repositories: they are checked by schedule, and analysed when a branch has moved.",
    epilog=examples_epilog(
        "vibe8 repo add https://github.com/psf/requests --schedule daily",
        "vibe8 repo list",
        "vibe8 repo check 3f2a --wait",
    ),
)

RepositoryArgument = Annotated[
    str, typer.Argument(metavar="REPOSITORY", help="Its id, the beginning of its id, or its URL.")
]
ScheduleOption = Annotated[
    str | None,
    typer.Option(metavar="CRON", help="Five fields of cron, or hourly, daily or weekly; in UTC. Empty for none."),
]
BranchesOption = Annotated[
    list[str] | None, typer.Option("--branch", metavar="NAME", help="A branch to watch; the default one if not given.")
]
ExcludeOption = Annotated[
    list[str] | None, typer.Option(metavar="GLOB", help="Paths to leave out; may be given several times.")
]
TagOption = Annotated[
    list[str] | None, typer.Option(metavar="CATEGORY=VALUE", help="A tag; may be given several times.")
]
NotifyOption = Annotated[str | None, typer.Option(metavar="URL", help="A URL that gets a webhook when a run ends.")]
PublicOption = Annotated[
    bool | None, typer.Option("--public/--private", help="Whether other users may see and follow it.")
]
DescriptionOption = Annotated[str | None, typer.Option(metavar="TEXT", help="What it is.")]
WaitOption = Annotated[
    bool, typer.Option("--wait", help="Wait for the check, and for the analysis of a branch that has moved.")
]
LimitOption = Annotated[int, typer.Option(metavar="N", min=1, help="The maximum number of repositories.")]
TOKEN_HELP = "The token of a private repository is read from the variable VIBE8_GIT_TOKEN, and stored encrypted."  # nosec B105 # noqa: S105 - a help text


@app.command(
    epilog=examples_epilog(
        "vibe8 repo add https://github.com/psf/requests --schedule daily --wait",
        "vibe8 repo add https://github.com/me/tool --branch main --branch dev --tag domain=web",
        "VIBE8_GIT_TOKEN=... vibe8 repo add https://github.com/me/private --schedule '*/15 * * * *'",
    ),
    help=f"Track a repository, and check it at once.\n\n{TOKEN_HELP}",
)
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="The repository's https:// URL.")],
    schedule: ScheduleOption = None,
    branch: BranchesOption = None,
    exclude: ExcludeOption = None,
    tag: TagOption = None,
    policy: PolicyOption = None,
    notify: NotifyOption = None,
    public: PublicOption = None,
    description: DescriptionOption = None,
    wait: WaitOption = False,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Track a repository, and check it at once."""
    from worker.cli.commands.repositories import tracking
    from worker.cli.output.writer import OutputWriter

    given = tracking.GivenSettings(branches=branch, exclude=exclude, policy=policy, notify_url=notify, public=public)
    command = tracking.add(
        user,
        url,
        given,
        schedule=schedule,
        tags=tag,
        description=description,
        wait=wait,
        output=OutputWriter(as_json=as_json),
    )
    run_and_exit(command)


@app.command("list", epilog=examples_epilog("vibe8 repo list", "vibe8 repo list --tag domain=web --status failed"))
def list_repositories(
    status: Annotated[AnalysisStatus | None, typer.Option(help="Only those of this state.")] = None,
    tag: TagOption = None,
    trending: Annotated[
        bool, typer.Option("--trending", help="The user's and public ones that trend most, with their numbers.")
    ] = False,
    followed: Annotated[bool, typer.Option("--followed", help="Those that the user follows.")] = False,
    limit: LimitOption = 50,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """List the user's tracked repositories, in the order of their URLs."""
    from domain.errors import InvalidInputError
    from worker.cli.commands.repositories import listing
    from worker.cli.output.writer import OutputWriter

    output = OutputWriter(as_json=as_json)
    if (trending or followed) and ((trending and followed) or status or tag):
        raise InvalidInputError("--trending and --followed stand alone (see `vibe8 repo list --help`)")
    if trending:
        run_and_exit(listing.trending(user, limit, output))
    elif followed:
        run_and_exit(listing.followed(user, limit, output))
    else:
        run_and_exit(listing.list_repositories(user, status, tag, limit, output))


@app.command(epilog=examples_epilog("vibe8 repo show 3f2a", "vibe8 repo show https://github.com/psf/requests --json"))
def show(repository: RepositoryArgument, user: UserOption = DEFAULT_USER, as_json: JsonOption = False) -> None:
    """Show a tracked repository: its state, heads, settings and numbers."""
    from worker.cli.commands.repositories import listing
    from worker.cli.output.writer import OutputWriter

    run_and_exit(listing.show(user, repository, OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 repo check 3f2a", "vibe8 repo check 3f2a --wait"))
def check(
    repository: RepositoryArgument,
    wait: WaitOption = False,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Let a worker check a repository now, whatever its schedule says."""
    from worker.cli.commands.repositories import tracking
    from worker.cli.output.writer import OutputWriter

    run_and_exit(tracking.check(user, repository, wait=wait, output=OutputWriter(as_json=as_json)))


@app.command(
    epilog=examples_epilog(
        "vibe8 repo update 3f2a --schedule hourly",
        "vibe8 repo update 3f2a --schedule '' --branch main --public",
        "VIBE8_GIT_TOKEN=... vibe8 repo update 3f2a --token",
    ),
    help=f"Change a tracked repository. What is not given stays; lists are replaced as a whole.\n\n{TOKEN_HELP}",
)
def update(
    repository: RepositoryArgument,
    schedule: ScheduleOption = None,
    branch: BranchesOption = None,
    exclude: ExcludeOption = None,
    tag: TagOption = None,
    policy: PolicyOption = None,
    notify: NotifyOption = None,
    public: PublicOption = None,
    description: DescriptionOption = None,
    token: Annotated[
        bool | None, typer.Option("--token/--no-token", help="Store VIBE8_GIT_TOKEN, or no token any more.")
    ] = None,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Change a tracked repository."""
    from worker.cli.commands.repositories import tracking
    from worker.cli.output.writer import OutputWriter

    given = tracking.GivenSettings(branches=branch, exclude=exclude, policy=policy, notify_url=notify, public=public)
    command = tracking.update(
        user,
        repository,
        given,
        schedule=schedule,
        tags=tag,
        description=description,
        with_token=token,
        output=OutputWriter(as_json=as_json),
    )
    run_and_exit(command)


@app.command(epilog=examples_epilog("vibe8 repo hook 3f2a"))
def hook(repository: RepositoryArgument, user: UserOption = DEFAULT_USER, as_json: JsonOption = False) -> None:
    """Make a new secret for the push hook of the repository's host, and print it. It cannot be shown again."""
    from worker.cli.commands.repositories import tracking
    from worker.cli.output.writer import OutputWriter

    run_and_exit(tracking.hook(user, repository, OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 repo follow 3f2a --when gate --notify-url https://chat.example.org/hook"))
def follow(
    repository: RepositoryArgument,
    when: Annotated[FollowWhen, typer.Option(help="At each run's end, when the gate turns, or never.")] = (
        FollowWhen.NEVER
    ),
    notify_url: Annotated[str | None, typer.Option(metavar="URL", help="Where the webhook goes.")] = None,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Follow a repository, or change when its follower is told."""
    from worker.cli.commands.repositories import followers
    from worker.cli.output.writer import OutputWriter

    run_and_exit(followers.follow(user, repository, when, notify_url, OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 repo unfollow 3f2a"))
def unfollow(repository: RepositoryArgument, user: UserOption = DEFAULT_USER, as_json: JsonOption = False) -> None:
    """Follow a repository no longer."""
    from worker.cli.commands.repositories import followers
    from worker.cli.output.writer import OutputWriter

    run_and_exit(followers.unfollow(user, repository, OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 repo remove 3f2a"))
def remove(repository: RepositoryArgument, user: UserOption = DEFAULT_USER, as_json: JsonOption = False) -> None:
    """Track a repository no longer. Its runs stay."""
    from worker.cli.commands.repositories import tracking
    from worker.cli.output.writer import OutputWriter

    run_and_exit(tracking.remove(user, repository, OutputWriter(as_json=as_json)))
