"""Schemas of facts. Cached facts may be damaged or forged, so they are checked before they are used.

A column checks a sequence of values at once, in C where possible; a schema checks one value.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

Column = Callable[[Sequence[Any]], bool]

MAX_COUNT = 1 << 24
"""The largest count that is accepted: more than a file has lines, or anything else that is counted in a file."""


@dataclass(frozen=True, slots=True)
class Schema:
    """`matches` returns whether a value matches; it accepts any value and never raises."""

    matches: Callable[[Any], bool]


def strings(values: Sequence[Any]) -> bool:
    """Return whether all values are strings."""
    return set(map(type, values)) <= {str}


def strings_or_none(values: Sequence[Any]) -> bool:
    """Return whether each value is a string or None."""
    return set(map(type, values)) <= {str, type(None)}


def one_of(*known: str) -> Column:
    """Return a column of which each value is one of the known strings."""
    return lambda values: strings(values) and set(values) <= set(known)


def booleans(values: Sequence[Any]) -> bool:
    """Return whether all values are True or False."""
    return set(map(type, values)) <= {bool}


def counts(values: Sequence[Any]) -> bool:
    """Return whether all values are integers from 0 to MAX_COUNT, as line numbers and counts are."""
    return set(map(type, values)) <= {int} and (not values or (min(values) >= 0 and max(values) <= MAX_COUNT))


def counts_or_none(values: Sequence[Any]) -> bool:
    """Return whether each value is such an integer or None."""
    return counts([value for value in values if value is not None])


def single(column: Column) -> Schema:
    """Return the schema of one value of that column."""
    return Schema(lambda value: column((value,)))


def list_of(column: Column) -> Schema:
    """Return the schema of a list of values of that column."""
    return Schema(lambda value: isinstance(value, list) and column(value))


def row(*columns: Column) -> Schema:
    """Return the schema of a list with one value for each column."""
    rows = table(*columns)
    return Schema(lambda value: rows.matches([value]))


def table(*columns: Column) -> Schema:
    """Return the schema of a list of rows, each a list with one value for each column."""

    def matches(value: Any) -> bool:
        if not isinstance(value, list) or not set(map(type, value)) <= {list}:
            return False
        if not set(map(len, value)) <= {len(columns)}:
            return False
        return all(column(values) for column, values in zip(columns, zip(*value, strict=True), strict=False))

    return Schema(matches)


def tables(*columns: Column) -> Column:
    """Return a column of which each value is such a table."""
    schema = table(*columns)
    return lambda values: all(map(schema.matches, values))


def record(fields: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """Return the schema of a dict with all of `fields`, any of `optional`, and nothing else."""
    schemas = {**fields, **(optional or {})}

    def matches(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and fields.keys() <= value.keys() <= schemas.keys()
            and all(schemas[key].matches(item) for key, item in value.items())
        )

    return Schema(matches)


def mapping(keys: Column, values: Column) -> Schema:
    """Return the schema of a dict of any size."""
    return Schema(lambda value: isinstance(value, dict) and keys(tuple(value)) and values(tuple(value.values())))


def any_of(*schemas: Schema) -> Schema:
    """Return the schema of a value that matches at least one of the schemas."""
    return Schema(lambda value: any(schema.matches(value) for schema in schemas))


def float_between(least: float, most: float) -> Schema:
    """Return the schema of a float from `least` to `most`."""
    return Schema(lambda value: type(value) is float and isfinite(value) and least <= value <= most)


def nullable(schema: Schema) -> Schema:
    """Return the schema of a value that matches `schema` or is None."""
    return Schema(lambda value: value is None or schema.matches(value))
