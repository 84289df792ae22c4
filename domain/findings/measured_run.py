"""What a stored run says about its files and findings, and what it could not measure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from domain.findings.matching import Item
from domain.findings.roles import Role
from domain.findings.severity import SYNTAX_ERROR
from domain.findings.traits import InvalidTraitsError, MetricTraits, traits_from_json
from domain.selection import NOT_REQUESTED, Selection
from domain.text import JSON

UNMEASURED = frozenset({"failed", NOT_REQUESTED})
"""States of a collector in `completeness.collectors` that mean that it has no numbers."""


@dataclass(frozen=True, kw_only=True)
class MeasuredRun:
    """The documents of a run, as `analysis_runs` has them."""

    metrics: Mapping[str, JSON]
    findings: Mapping[str, JSON]
    file_tree: Mapping[str, JSON] | None
    completeness: Mapping[str, JSON]
    tool_versions: Mapping[str, str]
    since: str = ""
    """When the run was stored; its own findings are known since then."""
    options: Mapping[str, JSON] | None = None
    """What the run kept of its job's options."""
    nodes: Mapping[str, Mapping[str, JSON]] = field(init=False)
    """The nodes of its files, by path."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", {node["path"]: node for node in iter_files(self.file_tree)})

    @cached_property
    def selection(self) -> Selection:
        """The collectors and files that were chosen."""
        return Selection.of_stored(self.options)

    @cached_property
    def items(self) -> Sequence[Item]:
        """The findings that are listed."""
        items: Sequence[Item] = self.findings.get("items") or ()
        return items

    @cached_property
    def digests(self) -> Mapping[str, str | None]:
        """The digest of each file's bytes, by path."""
        return {path: node.get("digest") for path, node in self.nodes.items()}

    @cached_property
    def traits(self) -> Mapping[str, MetricTraits]:
        """What the run says of its metrics with findings; runs of earlier versions say nothing."""
        try:
            return traits_from_json(self.findings.get("metrics") or {})
        except InvalidTraitsError:
            return {}

    @cached_property
    def is_comparable(self) -> bool:
        """Whether files have digests and findings identities, which runs of earlier versions do not have."""
        return all("digest" in node for node in self.nodes.values()) and all("identity" in item for item in self.items)

    @cached_property
    def roles(self) -> Mapping[str, str]:
        """The role of each file, by path; in a run of an earlier version that of all is `source`."""
        return {path: node.get("role", str(Role.SOURCE)) for path, node in self.nodes.items()}

    def measures(self, metric: str) -> bool:
        """Return whether the metric's collector worked and its findings can be compared."""
        state = self.completeness.get("collectors", {}).get(metric)
        return state is not None and state not in UNMEASURED and self.is_comparable

    def measures_file(self, path: str, traits: MetricTraits, rule: str = "") -> bool:
        """Return whether findings of that rule in this file would be known; also if the run has no such file."""
        node = self.nodes.get(path)
        if node is None:
            return not self._is_skipped(path)
        if traits.needs_syntax and "parse_error" in node and rule != SYNTAX_ERROR:
            return False
        if traits.file_number is None:
            return True
        of_metric, number = traits.file_number
        return (node["metrics"].get(of_metric) or {}).get(number) is not None

    def is_cut(self, metric: str, severity: str) -> bool:
        """Return whether the list lacks findings of this metric and severity."""
        cut = self.findings.get("cut")
        if cut is None:  # a run of an earlier version does not say which it lacks
            return bool(self.findings.get("total", 0) > len(self.items))
        return bool(cut.get(metric, {}).get(severity))

    @cached_property
    def _skipped(self) -> frozenset[str]:
        return frozenset(entry["path"] for entry in self.completeness.get("skipped") or ())

    def _is_skipped(self, path: str) -> bool:
        """Return whether the run left the file out, or may have: beyond a limit it does not list what it left out."""
        if not self.selection.selects(path):
            return True
        if self.completeness.get("skipped_total", 0) > len(self._skipped):
            return True
        parts = path.split("/")
        return any("/".join(parts[:count]) in self._skipped for count in range(1, len(parts) + 1))


def iter_files(tree: JSON) -> Iterator[Mapping[str, JSON]]:
    """Yield the file nodes of a file tree of any depth, in its order; none of a run without a tree.

    What is no node is passed over: other versions and other programs write trees too.
    """
    pending = [tree]
    while pending:
        node = pending.pop()
        if not isinstance(node, Mapping):
            continue
        if node.get("type") == "file":
            yield node
        else:
            pending.extend(reversed(node.get("children") or ()))
