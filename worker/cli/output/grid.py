"""Tables: coloured and ruled on a terminal, plain aligned lines in a pipe."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

Justify = Literal["left", "right"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Rows of cells with rich's markup. Columns named in `numbers` are right-aligned; only the last column may wrap."""

    headings: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    title: str = ""
    numbers: frozenset[str] = frozenset()

    def show(self, console: Console) -> None:
        """Print the table. In a pipe each row is one line, however long it is."""
        if self.title:
            console.print(self.title, style="bold", markup=False)
        if console.is_terminal:
            self._show_table(console)
            return
        for line in self._lines():
            console.out(line, highlight=False)

    def _show_table(self, console: Console) -> None:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        for heading in self.headings:
            last = heading == self.headings[-1]
            table.add_column(heading, justify=self._justify(heading), overflow="fold", no_wrap=not last)
        for row in self.rows:
            table.add_row(*row)
        console.print(table)

    def _lines(self) -> Iterable[str]:
        rows = [
            list(self.headings),
            *([Text.from_markup(cell, emoji=False).plain for cell in row] for row in self.rows),
        ]
        widths = [max(cell_len(row[column]) for row in rows) for column in range(len(self.headings))]
        for row in rows:
            cells = []
            for heading, cell, width in zip(self.headings, row, widths, strict=True):
                blank = " " * (width - cell_len(cell))
                cells.append(blank + cell if self._justify(heading) == "right" else cell + blank)
            yield "  ".join(cells).rstrip()

    def _justify(self, heading: str) -> Justify:
        return "right" if heading in self.numbers else "left"
