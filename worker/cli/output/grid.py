"""Tables: coloured and ruled on a terminal, records where it is too narrow for one, plain aligned lines in a pipe."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

Justify = Literal["left", "right"]

FOLDED_WIDTH = 8
"""Columns that a cell of text has at least before it is folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Rows of cells with rich's markup. Columns named in `numbers` are right-aligned.

    The first column and those of numbers are never folded, and nothing is cut.
    """

    headings: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    title: str = ""
    numbers: frozenset[str] = frozenset()

    def show(self, console: Console) -> None:
        """Print the table. In a pipe each row is one line, however long it is."""
        if self.title:
            console.print(self.title, style="bold", markup=False)
        if console.is_terminal:
            if self._least_width() <= console.width:
                self._show_table(console)
            else:
                self._show_records(console)
            return
        for line in self._lines():
            console.out(line, highlight=False)

    def _show_table(self, console: Console) -> None:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        for place, heading in enumerate(self.headings):
            table.add_column(heading, justify=self._justify(heading), overflow="fold", no_wrap=not self._folds(place))
        for row in self.rows:
            table.add_row(*row)
        console.print(table)

    def _show_records(self, console: Console) -> None:
        """Print a line for each cell that is not empty, and an empty line between two rows."""
        width = max(cell_len(heading) for heading in self.headings)
        for number, row in enumerate(self.rows):
            if number:
                console.print()
            for heading, cell in zip(self.headings, row, strict=True):
                if cell:
                    console.print(f"{heading:<{width}}  {cell}", soft_wrap=True)

    def _folds(self, place: int) -> bool:
        return place > 0 and self.headings[place] not in self.numbers

    def _least_width(self) -> int:
        """Return the columns of a terminal that the table takes when its text is folded."""
        widths = self._widths(self._plain_rows())
        folded = (min(width, FOLDED_WIDTH) if self._folds(place) else width for place, width in enumerate(widths))
        return sum(folded) + 2 * len(widths) - 1  # an empty column after each, and one between two

    def _plain_rows(self) -> list[list[str]]:
        cells = ([Text.from_markup(cell, emoji=False).plain for cell in row] for row in self.rows)
        return [list(self.headings), *cells]

    def _widths(self, rows: Sequence[Sequence[str]]) -> list[int]:
        return [max(cell_len(row[column]) for row in rows) for column in range(len(self.headings))]

    def _lines(self) -> Iterable[str]:
        rows = self._plain_rows()
        widths = self._widths(rows)
        for row in rows:
            cells = []
            for heading, cell, width in zip(self.headings, row, widths, strict=True):
                blank = " " * (width - cell_len(cell))
                cells.append(blank + cell if self._justify(heading) == "right" else cell + blank)
            yield "  ".join(cells).rstrip()

    def _justify(self, heading: str) -> Justify:
        return "right" if heading in self.numbers else "left"
