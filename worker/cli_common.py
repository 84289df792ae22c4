"""What the command's modules share: an option, the examples in a help text, and how a command ends."""

import os
import sys
from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from worker.conventions import DONE

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def examples(*lines: str) -> str:
    """The epilog of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def finish(command: Coroutine[Any, Any, int]) -> None:
    """Run the command and leave with its exit code."""
    from worker.running import run

    try:
        code = run(command)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough; the flush at exit is to meet nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = DONE
    raise typer.Exit(code)
