"""Text output of an evaluation's results."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from rich.console import Console
from rich.markup import escape

from domain.text import JSON, one_line, printable_line
from worker.cli.output.grid import Grid
from worker.cli.output.writer import print_line

Document = Mapping[str, JSON]

_NUMBERS = frozenset(
    {"n", "medians", "U", "p", "p (Holm)", "delta", "95 % interval", "tasks", "W", "projects", "lines"}
)


def show_results(console: Console, document: Document) -> None:
    """Print the authors, a table for each pair of them, the tables by task, and what is missing."""
    print_line(console, f"{document['name']}: {document['status']}")
    for caveat in document["caveats"]:
        print_line(console, caveat)
    titles = {measure["name"]: f"{measure['title']}, {measure['unit']}" for measure in document["measures"]}
    for grid in _grids(document, titles):
        if grid.rows:
            console.print()
            grid.show(console)
    lines = list(_missing(document))
    if lines:
        console.print()
    for line in lines:
        print_line(console, line)


def _grids(document: Document, titles: Mapping[str, str]) -> Iterator[Grid]:
    yield _groups(document["groups"])
    for (first, second), tests in groupby(document["overall"]["pairs"], key=_authors):
        yield _pair(f"{first} and {second}, all projects", list(tests), titles)
    for (first, second), tests in groupby(document["paired"], key=_authors):
        yield _paired(f"{first} and {second}, task by task", list(tests), titles)
    authors = [group["author"] for group in document["groups"]]
    for part in document["by_task"]:
        yield _task(part, authors, titles)


def _authors(test: Document) -> tuple[str, str]:
    return test["first"], test["second"]


def _groups(groups: Sequence[Document]) -> Grid:
    grid = Grid(headings=("author, as declared", "projects", "lines"), numbers=_NUMBERS)
    for group in groups:
        compared = f"{group['projects']} of {group['submitted']}"
        grid.rows.append((_text(group["author"]), compared, f"{group['source_lines']:,}"))
    return grid


def _pair(title: str, tests: Sequence[Document], titles: Mapping[str, str]) -> Grid:
    headings = ("measure", "n", "medians", "U", "p", "p (Holm)", "delta", "95 % interval", "says")
    grid = Grid(title=printable_line(title), headings=headings, numbers=_NUMBERS)
    for test in tests:
        interval = f"{test['delta_low']:.2f} to {test['delta_high']:.2f}"
        grid.rows.append(
            (
                _text(titles[test["measure"]]),
                " / ".join(str(number) for number in test["projects"]),
                " / ".join(f"{median:.1f}" for median in test["medians"]),
                f"{test['u']:g}",
                _probability(test["p"]),
                _probability(test["p_holm"]),
                f"{test['delta']:.2f}",
                interval,
                _says(test),
            )
        )
    return grid


def _paired(title: str, tests: Sequence[Document], titles: Mapping[str, str]) -> Grid:
    grid = Grid(
        title=printable_line(title), headings=("measure", "tasks", "W", "p", "p (Holm)", "says"), numbers=_NUMBERS
    )
    for test in tests:
        tasks = f"{test['differing']} of {test['tasks']} differ"
        numbers = (f"{test['w']:g}", _probability(test["p"]), _probability(test["p_holm"]))
        grid.rows.append((_text(titles[test["measure"]]), tasks, *numbers, _says(test)))
    return grid


def _task(part: Document, authors: Sequence[str], titles: Mapping[str, str]) -> Grid:
    headings = ("medians (projects)", *(_text(author) for author in authors))
    grid = Grid(title=printable_line(f"task {part['task']}"), headings=headings, numbers=frozenset(headings[1:]))
    for name, title in titles.items():
        cells = [part["medians"][name][author] for author in authors]
        grid.rows.append((_text(title), *(_sample(cell) for cell in cells)))
    return grid


def _sample(cell: Document) -> str:
    return "-" if cell["median"] is None else f"{cell['median']:.1f} ({cell['projects']})"


def _missing(document: Document) -> Iterator[str]:
    for row in document["left_out"]:
        reason = f": {row['reason']}" if row["reason"] else ""
        yield f"left out: {row['source']} by {row['author']}, {row['state']}{reason}"
    for row in document["incomplete"]:
        yield f"not measured completely: {row['source']} ({', '.join(row['collectors'])})"
    for tool, versions in document["differing_tools"].items():
        yield f"measured with different versions of {tool}: {', '.join(versions)}"


def _says(test: Document) -> str:
    return f"[bold]{_text(test['higher'])} higher[/bold]" if test["higher"] is not None else test["reason"]


def _probability(value: float) -> str:
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def _text(text: str) -> str:
    return escape(one_line(text, 80))
