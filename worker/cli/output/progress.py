"""Progress on standard error: a bar on a terminal, a line a stage in a pipe, nothing in a pipe for `--json`."""

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
    """A context manager that is told events `{stage, progress}`, progress 0..100."""

    def __init__(self, *, quiet: bool = False, stage: str = "starting") -> None:
        """`quiet`: show a bar where there is a terminal, else nothing."""
        self._console = Console(stderr=True, highlight=False, emoji=False)
        drawn = self._console.is_terminal and not self._console.is_dumb_terminal
        columns = (TextColumn("{task.description:<12}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=self._console, transient=True, disable=not drawn)
        self._silent = quiet and not drawn
        self._plain = not quiet and not drawn
        self._task = self._bar.add_task(stage, total=100)
        self._stage = stage

    async def on_event(self, event: Mapping[str, JSON]) -> None:
        """Show it."""
        self.show(str(event["stage"]), float(event["progress"]))

    def show(self, stage: str, progress: float) -> None:
        """Show this stage and this share, in percent."""
        stage = printable_line(stage)
        self._bar.update(self._task, description=escape(stage), completed=progress)
        if stage != self._stage:
            self._bar.refresh()  # however short the stage, it is seen
            if self._plain:
                print(f"{stage} ...", file=sys.stderr, flush=True)
        self._stage = stage

    def print_line(self, line: str) -> None:
        """One line that stays, above the bar where there is one."""
        if not self._silent:
            self._console.print(printable_line(line), markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
