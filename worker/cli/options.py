"""What the subcommands share: common options, the examples in a help text, and running a command to its exit code."""

from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.errors import InvalidInputError
from domain.text import one_line
from worker.export.export_format import ExportFormat

DEFAULT_USER = "local@localhost"
MAX_AGE_DAYS = 3_650

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]

UserOption = Annotated[str, typer.Option(metavar="EMAIL", help="The user who makes the request.", show_default=True)]

FORMATS = ", ".join(ExportFormat)
FormatOption = Annotated[ExportFormat, typer.Option("--format", metavar="FORMAT", help=f"The form: {FORMATS}.")]
OptionalFormatOption = Annotated[
    ExportFormat | None,
    typer.Option("--format", metavar="FORMAT", help=f"Print an export instead of tables: {FORMATS}."),
]

BranchOption = Annotated[str | None, typer.Option(help="The repository's branch; its default branch if not given.")]


GateOption = Annotated[bool, typer.Option("--gate", help="Exit with 4 where the quality gate rejects the result.")]
PolicyOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The gate's policy, as JSON, instead of the default one.")
]

CollectorsOption = Annotated[
    list[str] | None,
    typer.Option("--collectors", metavar="NAME,...", help="Measure these metrics alone; the others are null."),
]
IncludeOption = Annotated[
    list[str] | None,
    typer.Option("--include", metavar="GLOB", help="Measure only files that match, such as src/**/*.py; repeatable."),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="GLOB", help="Leave out files that match, such as vendor or **/*_pb2.py."),
]


def examples_epilog(*lines: str) -> str:
    """Return the examples as the last part of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def run_and_exit(command: Coroutine[Any, Any, int]) -> None:
    """Run the command, and exit with its exit code."""
    from worker.cli.run_async import run_and_flush

    raise typer.Exit(run_and_flush(command))


def parse_age(text: str | None, option: str = "--since") -> timedelta | None:
    """Parse an age such as 90s, 30m, 1h or 2d. Raises InvalidInputError."""
    if text is None:
        return None
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}.get(text[-1:])
    if unit is None or not text[:-1].isdecimal() or len(text) > 12:
        raise InvalidInputError(f"{option} must look like 90s, 30m, 1h or 2d, not {one_line(text, 40)!r}")
    return min(timedelta(**{unit: int(text[:-1])}), timedelta(days=MAX_AGE_DAYS))
