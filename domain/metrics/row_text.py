"""The text about a metric's aggregate, as the command's table, the comment on a pull request and the badge show it."""

import re
from collections.abc import Mapping
from typing import Any

from domain.findings.roles import Role
from domain.metrics.declaration import RowFormat

_PLURAL_OF_ONE = re.compile(r"\b1 ((?:[a-z]+ )?[a-z]*[a-rt-z])s\b")
"""Matches `1 issues` and `1 unused symbols`, which a template for any number makes."""


class _Unknown:
    """Stands for null in the text."""

    def __format__(self, _spec: str) -> str:
        return "?"


class _Values(dict[str, object]):
    """Values for the text. The result of another version may lack some."""

    def __missing__(self, key: str) -> object:
        return _Unknown()


def source_aggregate(aggregate: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the part of the aggregate that is about source files; None where there is none for each role.

    Tests and examples must not decide what a reader thinks of the code: their asserts alone make a security score 0.
    """
    by_role = aggregate.get("by_role")
    found = by_role.get(Role.SOURCE) if isinstance(by_role, Mapping) else None
    return found if isinstance(found, Mapping) else None


def row_text(row: RowFormat, aggregate: Mapping[str, Any]) -> str | None:
    """Return the text, with `?` for what is null or missing; None if nothing was measured."""
    if all(value is None for value in aggregate.values()):
        return None
    values = _Values({key: _Unknown() if value is None else value for key, value in aggregate.items()})
    if row.details is not None:
        values.update(row.details(aggregate))
    return _PLURAL_OF_ONE.sub(r"1 \1", row.text.format_map(values))
