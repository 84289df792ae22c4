"""The options of commands that choose what is measured, as the domain takes them."""

from collections.abc import Sequence

from domain.options import JobOptions
from domain.selection import Selection
from domain.tags import parse_tags


def parse_selection(
    collectors: Sequence[str] | None, include: Sequence[str] | None, exclude: Sequence[str] | None
) -> Selection:
    """Return the selection; names of collectors may be given several times, or with commas.

    Raises InvalidInputError, which names what an option accepts.
    """
    document = {"collectors": _names(collectors), "include": list(include or ()), "exclude": list(exclude or ())}
    return Selection.from_json(document, None if collectors is None else _existing())


def parse_job_options(selection: Selection, tags: Sequence[str] | None) -> JobOptions:
    """Return the options of a submission. Each tag is `category=value`. Raises InvalidInputError."""
    return JobOptions(
        collectors=selection.collectors,
        include=selection.include,
        exclude=selection.exclude,
        tags=parse_tags(tags or ()),
    )


def _names(values: Sequence[str] | None) -> list[str] | None:
    if values is None:
        return None
    return [word.strip() for value in values for word in value.split(",") if word.strip()]


def _existing() -> Sequence[str]:
    # Only a command that names collectors needs their package.
    from collectors.engine.collector_names import collector_names

    return collector_names()
