"""What the command's modules share: an option, the examples in a help text, and how a command ends."""

import os
import sys
from collections.abc import Coroutine
from datetime import timedelta
from typing import Annotated, Any

import typer

from domain.errors import InvalidInputError
from domain.text import one_line
from worker.cli.exit_codes import DONE

DEFAULT_USER = "local@localhost"
MAX_DAYS = 3_650

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]

BranchOption = Annotated[str | None, typer.Option(help="The repository's branch; its default one if not given.")]


def examples_epilog(*lines: str) -> str:
    """The epilog of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def run_and_exit(command: Coroutine[Any, Any, int]) -> None:
    """Run the command and leave with its exit code."""
    from worker.cli.run_async import run

    try:
        code = run(command)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough; the flush at exit is to meet nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = DONE
    raise typer.Exit(code)


def parse_age(words: str | None) -> timedelta | None:
    """An age such as 90s, 30m, 1h or 2d. Raises InvalidInputError."""
    if words is None:
        return None
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}.get(words[-1:])
    if unit is None or not words[:-1].isdecimal() or len(words) > 12:
        raise InvalidInputError(f"--since must look like 90s, 30m, 1h or 2d, not {one_line(words, 40)!r}")
    return min(timedelta(**{unit: int(words[:-1])}), timedelta(days=MAX_DAYS))
