"""Progress on standard error: a bar on a terminal, a line a stage in a pipe, nothing for `--json`."""

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from domain.text import JSON, printable


class ProgressDisplay:
    """A context manager that is told events `{stage, progress}`, progress 0..100."""

    def __init__(self, *, quiet: bool = False) -> None:
        console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description:<12}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)
        self._plain = not quiet and not console.is_terminal
        self._task = self._bar.add_task("waiting", total=100)
        self._stage = ""

    async def on_event(self, event: Mapping[str, JSON]) -> None:
        """Show it."""
        stage = printable(str(event["stage"]))
        self._bar.update(self._task, description=stage, completed=float(event["progress"]))
        if self._plain and stage != self._stage:
            print(f"{stage} ...", file=sys.stderr, flush=True)
        self._stage = stage

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
