"""Declaration of a metric: what the engine, the file tree, the command, the pages and the exports need to know of it.

A collector declares its metric once, in its own module; everything else is derived from the declaration.
"""

import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from domain.findings.identity import FindingIdentity
from domain.metrics.rule_texts import FindingRules
from domain.metrics.scoring import HEALTH_WEIGHTS
from domain.metrics.severity import Falling, Rising, Severity
from domain.text import JSON

Numbers = Mapping[str, Any]
"""What a collector's report says of one file."""

JsonType = Literal["integer", "number", "array", "string", "boolean"]
"""The JSON Schema type of a value. Every value may also be null, which means that it was not measured."""

PACKAGE_KEYS = frozenset({"package", "current_version", "latest_version", "outdated"})
"""The keys of an object that stands for a package: the worker reads the first two and writes the others."""

LAST = 1_000
"""The position of a metric that does not declare one; metrics of equal position are ordered by name."""


class InvalidDeclarationError(ValueError):
    """A declaration contradicts itself. The message names the metric and what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemField:
    """One value of an object in a list, at `metrics.NAME.KEY[].ITEM_KEY` in a result."""

    key: str
    meaning: str
    json_type: JsonType


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateField:
    """One value of the tree as a whole, at `metrics.NAME.KEY` in a result.

    `items` describes the objects of a list: an `array` has them, no other type does. With `lists_packages` they are
    packages, whose newest versions the worker looks up: their keys are at least `PACKAGE_KEYS`.
    """

    key: str
    meaning: str
    json_type: JsonType = "integer"
    items: tuple[ItemField, ...] = ()
    lists_packages: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileField:
    """One value of a file, at `metrics.METRIC_KEY.KEY` of its node in `file_tree`.

    `number` names the value in the per-file numbers of the collector's report. None stands for the file's source
    lines, which the engine counts itself, so that they are known even where the collector failed.
    """

    key: str
    number: str | None
    meaning: str
    json_type: JsonType = "integer"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedNumber:
    """The number of a file from which its severity and its input to the health score follow.

    `number` names one of the per-file numbers. With `per_100_sloc` its density is rated. `combine` computes the rated
    number from all the file's numbers instead. A file of which `number` was not measured is not rated: its severity is
    null, and its health score has no such input. The same holds for a density in a file whose lines cannot be counted.
    """

    meaning: str
    number: str
    per_100_sloc: bool = False
    combine: Callable[[Numbers], float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column in the command's table of the worst files: its heading, and the file metric's keys to add up."""

    heading: str
    of: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMetric:
    """A metric of single files: its object in the `metrics` of a file's node, at `key`.

    The severity follows from the rated number by `thresholds`, or from all the file's numbers by `judge`; with neither
    there is none. `health_input` is the name that the rated number has in `domain.metrics.scoring.HEALTH_WEIGHTS`.
    `column` is None for a metric that the table of the worst files leaves out. `position` orders both the objects in a
    node and the columns of the table.
    """

    key: str
    fields: tuple[FileField, ...]
    rated: RatedNumber | None = None
    thresholds: Rising | Falling | None = None
    judge: Callable[[Numbers], Severity] | None = None
    health_input: str | None = None
    column: Column | None = None
    position: int = LAST


Details = Callable[[Mapping[str, Any]], Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFormat:
    """How the metric's row reads in the command's table of metrics.

    `text` is a format string over the aggregate's keys, and over the keys that `details` computes from the aggregate.
    `score` is the key of the aggregate that is shown as a score of 0..100. `position` orders the rows. `absent` stands
    for the state `ok` where nothing was measured because the source has nothing to measure.
    """

    text: str
    score: str | None = None
    details: Details | None = None
    position: int = LAST
    absent: str = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricDeclaration:
    """A metric as its collector declares it.

    `name` is its key in `metrics` and the name of the collector's module. `tool` and `version` go to `tool_versions`;
    `pinned` is False for a tool that this program finds on the machine, `homepage` the tool's page for people, an https
    address. `finding_rules` are the texts about its rules in exports; without them an export says only which tool
    reports the rule. Raises InvalidDeclarationError.
    """

    name: str
    tool: str
    version: str
    aggregate: tuple[AggregateField, ...]
    row: RowFormat
    file_metric: FileMetric | None = None
    finding_identity: FindingIdentity | None = None
    finding_rules: FindingRules | None = None
    homepage: str | None = None
    pinned: bool = True

    def __post_init__(self) -> None:
        problem = next(self._problems(), None)
        if self.homepage is not None and not self.homepage.startswith("https://"):
            problem = f"the homepage {self.homepage!r} is no https address"
        if problem is not None:
            raise InvalidDeclarationError(f"metric {self.name}: {problem}")

    def _problems(self) -> Iterator[str]:
        keys = set(self.keys)
        if not keys:
            yield "declares no aggregate field"
        if self.row.score is not None and self.row.score not in keys:
            yield f"the row's score {self.row.score!r} is not an aggregate field"
        placeholders = {name for _, name, _, _ in string.Formatter().parse(self.row.text) if name is not None}
        if self.row.details is None and not placeholders <= keys:
            yield f"the row's text names {sorted(placeholders - keys)}, which are not aggregate fields"
        for field in self.aggregate:
            if (field.json_type == "array") != bool(field.items):
                yield f"the field {field.key!r} must declare items if, and only if, it is an array"
            if field.lists_packages and not {item.key for item in field.items} >= PACKAGE_KEYS:
                yield f"the packages of the field {field.key!r} must have the keys {sorted(PACKAGE_KEYS)}"
        if self.file_metric is not None:
            yield from _problems_of(self.file_metric)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the aggregate, in order."""
        return tuple(field.key for field in self.aggregate)

    def without_value(self) -> dict[str, JSON]:
        """Return the aggregate of a metric that was not measured: null for each key."""
        return dict.fromkeys(self.keys)


def _problems_of(metric: FileMetric) -> Iterator[str]:
    if metric.rated is None and (metric.thresholds or metric.judge or metric.health_input):
        yield "has a severity or a health input, but no rated number"
    if metric.thresholds is not None and metric.judge is not None:
        yield "has two rules of severity: thresholds and judge"
    if metric.health_input is not None and metric.health_input not in HEALTH_WEIGHTS:
        yield f"the health input {metric.health_input!r} has no weight in domain.metrics.scoring.HEALTH_WEIGHTS"
    unknown = set(metric.column.of if metric.column else ()) - {field.key for field in metric.fields}
    if unknown:
        yield f"the column adds up {sorted(unknown)}, which are not file fields"


def in_row_order(declarations: Sequence[MetricDeclaration]) -> list[MetricDeclaration]:
    """Return the declarations in the order of the command's table of metrics."""
    return sorted(declarations, key=lambda metric: (metric.row.position, metric.name))


def in_file_order(declarations: Sequence[MetricDeclaration]) -> list[MetricDeclaration]:
    """Return the declarations in the order of a file's metrics; those without a file metric come last."""
    return sorted(
        declarations, key=lambda metric: (metric.file_metric.position if metric.file_metric else LAST, metric.name)
    )


def file_metrics_of(declarations: Sequence[MetricDeclaration]) -> list[FileMetric]:
    """Return the metrics of single files, in the order of a file's metrics."""
    return [metric.file_metric for metric in in_file_order(declarations) if metric.file_metric is not None]
