"""Progress on standard error: a bar on a terminal, a line for each stage in a pipe, nothing in a pipe with `--json`."""

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from domain.text import JSON, printable_line

WAITING = "waiting for a worker"


class ProgressDisplay:
    """Context manager that shows progress events `{stage, progress}`, with progress as a percentage."""

    def __init__(self, *, quiet: bool = False, stage: str = "starting") -> None:
        """With `quiet`, show the bar on a terminal, and print nothing elsewhere."""
        self._console = Console(stderr=True, highlight=False, emoji=False)
        has_bar = self._console.is_terminal and not self._console.is_dumb_terminal
        columns = (TextColumn("{task.description:<12}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=self._console, transient=True, disable=not has_bar)
        self._print_nothing = quiet and not has_bar
        self._print_stages = not quiet and not has_bar
        self._task = self._bar.add_task(stage, total=100)
        self._stage = stage

    async def on_event(self, event: Mapping[str, JSON]) -> None:
        """Show a progress event of a pipeline."""
        self.show(str(event["stage"]), float(event["progress"]))

    def show(self, stage: str, progress: float) -> None:
        """Show the stage and its progress in percent."""
        stage = printable_line(stage)
        self._bar.update(self._task, description=escape(stage), completed=progress)
        if stage != self._stage:
            self._bar.refresh()  # show every stage, however short it is
            if self._print_stages:
                print(f"{stage} ...", file=sys.stderr, flush=True)
        self._stage = stage

    def print_line(self, line: str) -> None:
        """Print a line that stays above the bar."""
        if not self._print_nothing:
            self._console.print(printable_line(line), markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
