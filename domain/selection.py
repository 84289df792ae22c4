"""What of a source is measured: by which collectors, and which of its files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from domain.errors import InvalidInputError
from domain.path_globs import matches_any, parse_globs
from domain.text import JSON, one_line

NOT_REQUESTED = "not_requested"
"""The state, in `completeness.collectors`, of a collector that was not asked for."""

SELECTION = "selection"
"""The key of the JSON form in the requests to child processes."""

_KEYS = ("collectors", "include", "exclude")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A choice of collectors and of files; nothing chosen means all.

    A file is chosen if one of `include` matches its path (none are given: any path) and none of `exclude` does; see
    `domain.path_globs`. The globs choose Python files; files that declare dependencies are always read.
    """

    collectors: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, document: Mapping[str, JSON], metrics: Sequence[str] | None = None) -> Self:
        """Read the keys of the JSON form, each of which may be missing or null. Other keys are passed over.

        `metrics` are the names of the collectors that exist; None accepts any. Raises InvalidInputError, in one line.
        """
        lists = {key: document[key] for key in _KEYS if document.get(key) is not None}
        collectors = _collectors(lists.pop("collectors"), metrics) if "collectors" in lists else ()
        return cls(collectors=collectors, **{key: parse_globs(globs, key) for key, globs in lists.items()})

    @classmethod
    def of_stored(cls, document: JSON) -> Self:
        """Return the selection of stored options; all for those that another program wrote and that are not valid."""
        try:
            return cls.from_json(document if isinstance(document, Mapping) else {})
        except InvalidInputError:
            return cls()

    def to_json(self) -> dict[str, JSON]:
        """Return the JSON form, without what is not chosen."""
        return {key: list(chosen) for key in _KEYS if (chosen := getattr(self, key))}

    def requests(self, collector: str) -> bool:
        """Return whether the collector was asked for."""
        return not self.collectors or collector in self.collectors

    def selects(self, path: str) -> bool:
        """Return whether the file is to be measured. `path` is as results show it."""
        if self.include and not matches_any(path, self.include):
            return False
        return not matches_any(path, self.exclude)

    @property
    def chooses_files(self) -> bool:
        """Whether some files of a source may be left out."""
        return bool(self.include or self.exclude)

    def has_same_files(self, other: "Selection") -> bool:
        """Return whether both choose the same files of any source."""
        return (self.include, self.exclude) == (other.include, other.exclude)

    def covers(self, other: "Selection") -> bool:
        """Return whether this measures all files that the other does, as far as the globs themselves tell."""
        return self.has_same_files(other) or not self.chooses_files


ALL = Selection()
"""All collectors and all files."""


def _collectors(value: JSON, metrics: Sequence[str] | None) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(name, str) for name in value):
        raise InvalidInputError("the option collectors must be a list of at least one metric's name")
    if metrics is not None and (unknown := sorted(set(value) - set(metrics))):
        raise InvalidInputError(
            f"the option collectors has an unknown metric {one_line(unknown[0], 50)!r}; there are {', '.join(metrics)}"
        )
    return tuple(sorted(set(value)))
