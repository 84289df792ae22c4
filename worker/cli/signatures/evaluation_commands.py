"""Subcommands about evaluations: evaluate, evaluation, evaluations. `worker.cli.commands.evaluations` has them."""

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.options import DEFAULT_USER, JsonOption, UserOption, examples_epilog, run_and_exit
from worker.results.evaluations.evaluation_format import EvaluationFormat

app = typer.Typer()

FORMATS = ", ".join(EvaluationFormat)


@app.command(
    epilog=examples_epilog(
        "vibe8 evaluate manifest.csv --name 'People and two models' --wait", "vibe8 evaluate manifest.toml --json"
    )
)
def evaluate(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="A .csv or .toml file that names projects and their authors.")
    ],
    name: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The evaluation's name, instead of the manifest's or its file's.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until all projects have ended, and show the results.")
    ] = False,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Submit the projects of a manifest, to compare their declared authors.

    The manifest has the columns (or keys) source, author_type (human or ai), author_model and task. A source is a
    directory, a .py or .zip file beside the manifest, or an https:// URL. All are submitted, or none.
    """
    from worker.cli.commands.evaluations import evaluate as commands
    from worker.cli.output.writer import OutputWriter

    run_and_exit(commands.evaluate(manifest, name, user, OutputWriter(as_json=as_json), wait=wait))


@app.command(
    epilog=examples_epilog("vibe8 evaluation 9c41", "vibe8 evaluation 9c41 --format html --output evaluation.html")
)
def evaluation(
    evaluation_id: Annotated[str, typer.Argument(metavar="ID", help="The evaluation's id or its beginning.")],
    export_format: Annotated[
        EvaluationFormat | None,
        typer.Option("--format", metavar="FORMAT", help=f"Write the results in this form: {FORMATS}."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file to write; standard output if not given.")
    ] = None,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """Show the results of an evaluation, or how far it is.

    Authorship is what the submitter declared. A difference between authors is an observation; no experiment was made.
    """
    from worker.cli.commands.evaluations import stored
    from worker.cli.output.writer import OutputWriter

    run_and_exit(stored.evaluation(user, evaluation_id, export_format, output, OutputWriter(as_json=as_json)))


@app.command(epilog=examples_epilog("vibe8 evaluations", "vibe8 evaluations --limit 5 --json"))
def evaluations(
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The maximum number of evaluations.")] = 20,
    user: UserOption = DEFAULT_USER,
    as_json: JsonOption = False,
) -> None:
    """List the user's evaluations, newest first."""
    from worker.cli.commands.evaluations import stored
    from worker.cli.output.writer import OutputWriter

    run_and_exit(stored.evaluations(user, limit, OutputWriter(as_json=as_json)))
