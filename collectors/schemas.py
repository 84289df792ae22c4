"""What facts look like, checked before facts from a cache are believed: whatever stands there may be broken or forged.

A column checks many values at once, at the speed of C; a shape checks one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

Column = Callable[[Sequence[Any]], bool]

MOST = 1 << 24
"""More lines than any file has, and more of anything that is counted in one."""


@dataclass(frozen=True, slots=True)
class Shape:
    """`holds` says of any value whether it looks like this; it never raises."""

    holds: Callable[[Any], bool]


def texts(values: Sequence[Any]) -> bool:
    """All are text."""
    return set(map(type, values)) <= {str}


def texts_or_none(values: Sequence[Any]) -> bool:
    """Each is text or None."""
    return set(map(type, values)) <= {str, type(None)}


def words(*known: str) -> Column:
    """Each is one of the known texts."""
    return lambda values: texts(values) and set(values) <= set(known)


def flags(values: Sequence[Any]) -> bool:
    """All are True or False."""
    return set(map(type, values)) <= {bool}


def counts(values: Sequence[Any]) -> bool:
    """All are whole numbers from 0 to MOST, as lines and counts of lines are."""
    return set(map(type, values)) <= {int} and (not values or (min(values) >= 0 and max(values) <= MOST))


def counts_or_none(values: Sequence[Any]) -> bool:
    """Each is such a number or None."""
    return counts([value for value in values if value is not None])


def one(column: Column) -> Shape:
    """A single value as it might stand in that column."""
    return Shape(lambda value: column((value,)))


def many(column: Column) -> Shape:
    """A list of values as they stand in that column."""
    return Shape(lambda value: isinstance(value, list) and column(value))


def row(*columns: Column) -> Shape:
    """A list with one value for each column."""
    rows = table(*columns)
    return Shape(lambda value: rows.holds([value]))


def table(*columns: Column) -> Shape:
    """A list of rows, each a list with one value for each column."""

    def holds(value: Any) -> bool:
        if not isinstance(value, list) or not set(map(type, value)) <= {list}:
            return False
        if not set(map(len, value)) <= {len(columns)}:
            return False
        return all(column(values) for column, values in zip(columns, zip(*value, strict=True), strict=False))

    return Shape(holds)


def tables(*columns: Column) -> Column:
    """Each value is such a table."""
    shape = table(*columns)
    return lambda values: all(map(shape.holds, values))


def record(fields: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None) -> Shape:
    """A dict with all of `fields`, perhaps some of `optional`, and nothing else."""
    shapes = {**fields, **(optional or {})}

    def holds(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and fields.keys() <= value.keys() <= shapes.keys()
            and all(shapes[key].holds(item) for key, item in value.items())
        )

    return Shape(holds)


def mapping(keys: Column, values: Column) -> Shape:
    """A dict of any size."""
    return Shape(lambda value: isinstance(value, dict) and keys(tuple(value)) and values(tuple(value.values())))


def either(*shapes: Shape) -> Shape:
    """One of several shapes."""
    return Shape(lambda value: any(shape.holds(value) for shape in shapes))


def number(least: float, most: float) -> Shape:
    """A float from `least` to `most`."""
    return Shape(lambda value: type(value) is float and isfinite(value) and least <= value <= most)


def or_none(shape: Shape) -> Shape:
    """That shape, or None."""
    return Shape(lambda value: value is None or shape.holds(value))
