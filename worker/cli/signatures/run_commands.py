"""Subcommands about finished analyses: runs, run, tag, findings, compare, trend, export.

`worker.cli.commands.runs` implements them.
"""

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.options import (
    DEFAULT_USER,
    FormatOption,
    GateOption,
    JsonOption,
    UserOption,
    examples_epilog,
    run_and_exit,
)

app = typer.Typer()

RunArgument = Annotated[str, typer.Argument(metavar="ID", help="The run's id or its beginning.")]
PROJECT_HELP = "A URL, a project's name, a file name, or a run's id."
RoleOption = Annotated[
    list[str] | None, typer.Option(metavar="ROLE", help="Files of this role, or all; source if not given.")
]


@app.command(
    epilog=examples_epilog(
        "vibe8 runs", "vibe8 runs --project requests", "vibe8 runs --tag domain=web", "vibe8 runs --limit 5 --json"
    )
)
def runs(
    project: Annotated[str | None, typer.Option(metavar="PROJECT", help=f"Only its runs. {PROJECT_HELP}")] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(metavar="CATEGORY=VALUE", help="Only runs with this tag; several times: with all of them."),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The maximum number of runs.")] = 20,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """List the user's finished analyses, newest first."""
    from worker.cli.commands.runs import stored
    from worker.cli.output.writer import OutputWriter

    run_and_exit(stored.runs(user, limit, project, tag or (), OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 run 9c41", "vibe8 run 9c41 --gate", "vibe8 run 9c41 --json > result.json"))
def run(
    run_id: RunArgument, user: UserOption = DEFAULT_USER, gate: GateOption = False, as_json: JsonOption = False
) -> None:
    """Show a finished analysis again. It stays after its job is deleted."""
    from worker.cli.commands.runs import stored
    from worker.cli.output.writer import OutputWriter

    run_and_exit(stored.run(user, run_id, OutputWriter(as_json=as_json), gate=gate))


@app.command(
    epilog=examples_epilog(
        "vibe8 tag 9c41", "vibe8 tag 9c41 domain=web kind=service", "vibe8 tag 9c41 --remove domain=web"
    )
)
def tag(
    run_id: RunArgument,
    tags: Annotated[
        list[str] | None, typer.Argument(metavar="[CATEGORY=VALUE]...", help="The tags to add.", show_default=False)
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="CATEGORY=VALUE", help="A tag to remove; may be given several times.")
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove all tags first.")] = False,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Add tags to a finished analysis, or remove some, and show those that it has.

    `vibe8 runs --tag` finds runs by them. Case and spaces do not matter.
    """
    from worker.cli.commands.runs import tags as commands
    from worker.cli.output.writer import OutputWriter

    output = OutputWriter(as_json=as_json)
    run_and_exit(commands.tag(user, run_id, add=tags or (), remove=remove or (), clear=clear, output=output))


@app.command(
    epilog=examples_epilog(
        "vibe8 findings 9c41 --state new --severity medium+",
        "vibe8 findings 9c41 --metric security,lint --path 'src/*' --role all",
        "vibe8 findings 9c41 --limit 1000 --json > findings.json",
    )
)
def findings(
    run_id: RunArgument,
    state: Annotated[
        list[str] | None, typer.Option(metavar="STATE", help="Only new, updated, moved or unchanged ones, and so on.")
    ] = None,
    severity: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="The least severity: info, low, medium or high.")
    ] = None,
    metric: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only those of this metric.")] = None,
    path: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Only in such files; * is any text, ? one character.")
    ] = None,
    role: RoleOption = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The maximum number of findings.")] = 50,
    after: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Begin after this position of the run's list.")
    ] = None,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """List the findings of a finished analysis.

    Each line has place, severity, metric, rule, message and state. Options that choose may be given several times, or
    with commas. Files of other roles than source, such as tests, are counted and left out.
    """
    from worker.cli.commands.runs import findings as commands
    from worker.cli.output.writer import OutputWriter

    chosen = commands.parse_filter(
        states=state or (), severity=severity, metrics=metric or (), path=path, roles=role or ()
    )
    output = OutputWriter(as_json=as_json)
    run_and_exit(commands.findings(user, run_id, chosen, limit=limit, after=after, output=output))


@app.command(epilog=examples_epilog("vibe8 compare 9c41", "vibe8 compare 9c41 158b --role all"))
def compare(
    run_id: RunArgument,
    base: Annotated[
        str | None, typer.Argument(metavar="[BASE]", help="The earlier run; the run's own baseline if not given.")
    ] = None,
    role: RoleOption = None,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Compare a finished analysis with an earlier one.

    Shows the findings that are new, updated, moved or fixed, the numbers and the files that changed, and tools of
    another version. JSON has all roles.
    """
    from worker.cli.commands.runs import comparison, findings
    from worker.cli.output.writer import OutputWriter

    roles = findings.parse_roles(role or ())
    run_and_exit(comparison.compare(user, run_id, base, roles, OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 trend https://github.com/psf/requests", "vibe8 trend mine --branch dev"))
def trend(
    project: Annotated[str, typer.Argument(metavar="PROJECT", help=PROJECT_HELP)],
    branch: Annotated[
        str | None, typer.Option(help="The branch; if not given the default one, else that of the newest run.")
    ] = None,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Show how the numbers of a project move from run to run.

    Of each commit the newest run counts. The series begins after the last incomplete run, and where the version of a
    tool changed. From 8 runs on, each number has its slope and the probability that there is no trend.
    """
    from worker.cli.commands.runs import trend as commands
    from worker.cli.output.writer import OutputWriter

    run_and_exit(commands.trend(user, project, branch, OutputWriter(as_json=as_json)))


@app.command(
    epilog=examples_epilog(
        "vibe8 export 9c41 --format sarif --output vibe8.sarif",
        "vibe8 export 9c41 --format html --output report.html",
        "vibe8 export 9c41 --format markdown",
        "vibe8 export 9c41 --format badge --metric docs > docs.svg",
    )
)
def export(
    run_id: RunArgument,
    export_format: FormatOption,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="The metric that a badge shows, instead of the quality.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file to write; standard output if not given.")
    ] = None,
    user: UserOption = DEFAULT_USER,
) -> None:
    """Write a finished analysis as a document for another program."""
    from worker.cli.commands.runs import stored

    run_and_exit(stored.export(user, run_id, export_format, metric, output))
