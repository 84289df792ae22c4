"""An earlier result that a file holds: what `--json` of a command printed, checked value by value."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from domain.errors import InvalidInputError
from domain.findings.measured_run import MeasuredRun
from domain.findings.roles import Role
from domain.findings.severity import SEVERITIES
from domain.text import JSON, one_line, safe_json
from infrastructure.json_codec import loads
from worker.results.reviewed_analysis import Baseline

MAX_MB = 512
"""A result with the most findings and a tree of 100,000 files is smaller."""

_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_HOW = "give what `vibe8 analyze --json` printed"
_TEXTS = ("metric", "rule", "path", "message", "identity")
_SCORES = frozenset({"health_score", "health_without_churn"})
"""The metrics of a file that are one number; all others are objects."""

_MAYBE_TEXTS = ("function", "line_hash", "first_seen_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierResult:
    """A result to compare with, and its commit where it has one."""

    baseline: Baseline
    commit: str | None


class _ShapeError(Exception):
    """A value is not what a result has in that place. The message names the place."""


def read_result_file(path: Path) -> EarlierResult:
    """Read the file. Raises InvalidInputError, in one line, for a file that is no result, or one of an earlier form."""
    name = one_line(str(path), 200)
    document, changed_at = _read(path, name)
    if isinstance(document, dict) and document.get("metrics", 0) is None:
        raise InvalidInputError(f"{name} has no numbers: it is the result of a job that did not complete")
    try:
        run = _measured(document, changed_at)
    except _ShapeError as error:
        raise InvalidInputError(f"{name} is no result ({error}): {_HOW}") from None
    if not run.is_comparable:
        raise InvalidInputError(f"{name} is of an earlier version, whose findings cannot be compared: make it again")
    try:
        _check_findings(run)
    except _ShapeError as error:
        raise InvalidInputError(f"{name} is no result ({error}): {_HOW}") from None
    source = document["source"]
    commit, run_id = source.get("git_commit_sha"), source.get("run_id")
    return EarlierResult(
        baseline=Baseline(run=run, run_id=run_id if isinstance(run_id, str) else None),
        commit=commit if isinstance(commit, str) and _COMMIT.fullmatch(commit) else None,
    )


def _read(path: Path, name: str) -> tuple[JSON, datetime]:
    """Return the document, printable, and the time of the file's last change."""
    try:
        if (size := path.stat().st_size) > MAX_MB * 1024 * 1024:
            raise InvalidInputError(f"{name} ({size} bytes) is larger than {MAX_MB} MB, and so no result")
        data, changed_at = path.read_bytes(), datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError as error:
        raise InvalidInputError(f"{name} cannot be read: {error.strerror}") from error
    try:
        return safe_json(loads(data)), changed_at
    except (ValueError, RecursionError):
        raise InvalidInputError(f"{name} is no JSON: {_HOW}") from None


def _measured(document: JSON, changed_at: datetime) -> MeasuredRun:
    """Return what a comparison needs; a result without a time has that of its file. Raises _ShapeError."""
    root = _mapping(document, "the document")
    parts = {key: _mapping(root.get(key), key) for key in ("source", "metrics", "findings", "file_tree")}
    completeness, versions = _mapping(root.get("completeness"), "completeness"), root.get("tool_versions")
    _check_completeness(completeness)
    tree = _tree(parts["file_tree"])
    for tool, version in _mapping(versions, "tool_versions").items():
        _text(version, f"tool_versions.{tool}")
    items = parts["findings"].get("items")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _ShapeError("findings.items is no list of objects")
    stored_at = parts["source"].get("created_at")
    return MeasuredRun(
        metrics={name: _numbers(values, f"metrics.{name}") for name, values in parts["metrics"].items()},
        findings=parts["findings"],
        file_tree=tree,
        completeness=completeness,
        tool_versions=_mapping(versions, "tool_versions"),
        since=stored_at if isinstance(stored_at, str) else changed_at.isoformat(),
        options=_mapping(root.get("options", {}), "options"),
    )


def _check_findings(run: MeasuredRun) -> None:
    for item in run.items:
        _check_finding(item)
    for metric, of_metric in _mapping(run.findings.get("cut", {}), "findings.cut").items():
        _mapping(of_metric, f"findings.cut.{metric}")
    if type(run.findings.get("total")) is not int:
        raise _ShapeError("findings.total")


def _check_finding(item: Mapping[str, JSON]) -> None:
    for key in _TEXTS:
        _text(item.get(key), f"{key} of a finding")
    for key in _MAYBE_TEXTS:
        if item.get(key) is not None:
            _text(item[key], f"{key} of a finding")
    if item.get("severity") not in SEVERITIES:
        raise _ShapeError("severity of a finding")
    if type(item.get("line")) is not int or "line_hash" not in item or "function" not in item:
        raise _ShapeError("place of a finding")


def _check_completeness(completeness: Mapping[str, JSON]) -> None:
    for name, state in _mapping(completeness.get("collectors"), "completeness.collectors").items():
        _text(state, f"completeness.collectors.{name}")
    if not isinstance(skipped := completeness.get("skipped"), list):
        raise _ShapeError("completeness.skipped")
    for entry in skipped:
        _text(_mapping(entry, "completeness.skipped").get("path"), "completeness.skipped")
    if type(completeness.get("skipped_total")) is not int:
        raise _ShapeError("completeness.skipped_total")


def _tree(root: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Return a tree that has the files of this one, with what a comparison reads of them."""
    files: list[JSON] = []
    pending: list[JSON] = [root]
    while pending:
        node = _mapping(pending.pop(), "a node of file_tree")
        if node.get("type") == "file":
            files.append(_file(node))
        elif isinstance(children := node.get("children"), list):
            pending += children
        else:
            raise _ShapeError("children of a directory")
    return {"type": "directory", "children": files}


def _file(node: Mapping[str, JSON]) -> dict[str, JSON]:
    _text(node.get("path"), "path of a file")
    _text(node.get("role", str(Role.SOURCE)), "role of a file")
    kept = {key: node[key] for key in ("type", "path", "role", "digest", "parse_error") if key in node}
    if node.get("digest") is not None:
        _text(node["digest"], "digest of a file")
    metrics = _mapping(node.get("metrics"), "metrics of a file")
    numbers: dict[str, JSON] = {name: _numbers_alone(value) for name, value in metrics.items()}
    return {**kept, "metrics": numbers | {name: _number(metrics[name]) for name in _SCORES & metrics.keys()}}


def _numbers_alone(value: JSON) -> dict[str, JSON]:
    return {key: _number(number) for key, number in value.items()} if isinstance(value, dict) else {}


def _numbers(values: JSON, place: str) -> dict[str, JSON]:
    """Return the numbers of a metric, and those of each role; null in place of anything else."""
    of_all = {key: _number(value) for key, value in _mapping(values, place).items() if not isinstance(value, list)}
    by_role = values.get("by_role")
    of_roles = {role: _numbers_alone(of_role) for role, of_role in by_role.items()} if isinstance(by_role, dict) else {}
    return {**of_all, "by_role": of_roles or None}


def _number(value: JSON) -> JSON:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _mapping(value: JSON, place: str) -> Mapping[str, JSON]:
    if not isinstance(value, dict):
        raise _ShapeError(f"{one_line(place, 80)} is no object")
    return value


def _text(value: JSON, place: str) -> None:
    if not isinstance(value, str):
        raise _ShapeError(f"{one_line(place, 80)} is no text")
