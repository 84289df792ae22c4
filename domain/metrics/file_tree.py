"""The `file_tree` document: a directory of directories and files, each file with its numbers and severities."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from domain.findings.roles import Role
from domain.metrics.declaration import MetricDeclaration, Numbers, RatedNumber, in_file_order
from domain.metrics.scoring import HISTORY_INPUT, health_score, quality_score
from domain.metrics.severity import density
from domain.text import JSON

_NOT_MEASURED: Numbers = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredFile:
    """One file, and the per-file numbers of each collector by the collector's name; absent where it failed.

    `size` is in bytes; `sloc` is None where the file cannot be tokenized. `digest` is that of
    `domain.findings.identity.content_digest`; None where the file could not be read.
    """

    path: str
    size: int
    sloc: int | None
    parse_error: str | None = None
    digest: str | None = None
    role: Role = Role.SOURCE
    numbers: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)


class FileMetrics:
    """Makes the `metrics` objects of files. The declarations are prepared once, not for each file."""

    def __init__(self, declarations: Sequence[MetricDeclaration]) -> None:
        self._metrics = [
            (declaration.name, metric, tuple((field.key, field.number) for field in metric.fields))
            for declaration in in_file_order(declarations)
            if (metric := declaration.file_metric) is not None
        ]

    def of(self, file: MeasuredFile) -> dict[str, JSON]:
        """Return the object of one file: the declared metrics in their order, then its health with and without churn.

        A number that was not measured is null, and so are its severity and the health score, if that depends on it.
        """
        objects: dict[str, JSON] = {}
        inputs: dict[str, float] = {}
        for name, metric, fields in self._metrics:
            numbers = file.numbers.get(name, _NOT_MEASURED)
            values: dict[str, JSON] = {}
            for key, number in fields:
                values[key] = file.sloc if number is None else numbers.get(number)
            objects[metric.key] = values
            if metric.rated is None:
                continue
            value = _rated_value(metric.rated, numbers, file.sloc)
            if metric.thresholds is not None:
                values["severity"] = None if value is None else str(metric.thresholds(value))
            elif metric.judge is not None:
                values["severity"] = None if value is None else str(metric.judge(numbers))
            if metric.health_input is not None and value is not None:
                inputs[metric.health_input] = value
        objects["health_score"] = health_score(inputs)
        inputs.pop(HISTORY_INPUT, None)
        objects["health_without_churn"] = health_score(inputs)
        return objects


def quality_of(nodes: Iterable[Mapping[str, JSON]], roles: Collection[str] = (Role.SOURCE,)) -> float | None:
    """Return the quality score of the file nodes with these roles; None where no health is known.

    Runs of earlier versions know no health without churn, and so have no quality score.
    """
    of_roles = (node["metrics"] for node in nodes if node.get("role") in roles)
    return quality_score(
        (metrics.get("health_without_churn"), (metrics.get("size") or {}).get("sloc")) for metrics in of_roles
    )


def _rated_value(rated: RatedNumber, numbers: Numbers, sloc: int | None) -> float | None:
    """Return the number that is rated; None where it, or the source lines that its density needs, are not known."""
    value: float | None = numbers.get(rated.number)
    if value is None:
        return None
    if rated.per_100_sloc:
        return None if sloc is None else density(value, sloc)
    return value if rated.combine is None else rated.combine(numbers)


def build_file_tree(files: Mapping[str, MeasuredFile], declarations: Sequence[MetricDeclaration]) -> dict[str, JSON]:
    """Return `{name: "root", type: "directory", path: "", children}`; directories come first, then by name.

    `files` is keyed by path. Each file has the metrics that are declared.
    """
    metrics = FileMetrics(declarations)
    root = _directory("root", "")
    directories: dict[str, dict[str, JSON]] = {"": root}
    for path in sorted(files):
        parent = _ensure_directory(directories, path.rpartition("/")[0])
        parent["children"].append(_file_node(files[path], metrics))
    for node in directories.values():
        node["children"].sort(key=lambda child: (child["type"] != "directory", child["name"]))
    return root


def _directory(name: str, path: str) -> dict[str, JSON]:
    return {"name": name, "type": "directory", "path": path, "children": []}


def _ensure_directory(directories: dict[str, dict[str, JSON]], path: str) -> dict[str, JSON]:
    """Return the node of a directory, after adding it and its parents to the tree if they are missing."""
    missing = []
    while path not in directories:
        missing.append(path)
        path = path.rpartition("/")[0]
    for step in reversed(missing):
        node = _directory(step.rpartition("/")[2], step)
        directories[step.rpartition("/")[0]]["children"].append(node)
        directories[step] = node
        path = step
    return directories[path]


def _file_node(file: MeasuredFile, metrics: FileMetrics) -> dict[str, JSON]:
    name = file.path.rpartition("/")[2]
    node: dict[str, JSON] = {
        "name": name,
        "type": "file",
        "path": file.path,
        "extension": "." + name.rpartition(".")[2] if "." in name else "",
        "size": file.size,
        "digest": file.digest,
        "role": str(file.role),
        "metrics": metrics.of(file),
    }
    if file.parse_error is not None:
        node["parse_error"] = file.parse_error
    return node
