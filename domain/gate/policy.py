"""Policies of the quality gate: the conditions that a run must meet, and the reader of their JSON form."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from domain.errors import InvalidInputError
from domain.findings.roles import Role
from domain.findings.severity import SEVERITIES, FindingSeverity
from domain.text import JSON, one_line

T = TypeVar("T")

MAX_CONDITIONS = 50
SMALL_CHANGE_LINES = 20
"""A smaller change is too small for a number per 100 lines to say anything: two findings in five lines are 40."""


class ConditionKind(StrEnum):
    """What a condition counts or compares. Every value is better when it is lower."""

    NEW_FINDINGS = "new_findings"
    """Findings of at least a severity that are new, or updated to a higher severity; of security, all updated ones."""
    NEW_FINDINGS_PER_100_LINES = "new_findings_per_100_lines"
    """New findings of exactly a severity, per 100 added lines."""
    DUPLICATED_SHARE_INCREASE = "duplicated_share_increase"
    """Rise of the percentage of duplicated lines, in points."""
    DOCUMENTED_SHARE_DECREASE = "documented_share_decrease"
    """Fall of the percentage of documented definitions, in points."""
    QUALITY_SCORE_DECREASE = "quality_score_decrease"
    """Fall of the quality score, in points."""

    @property
    def counts_findings(self) -> bool:
        """Whether it has a severity and metrics."""
        return self in (ConditionKind.NEW_FINDINGS, ConditionKind.NEW_FINDINGS_PER_100_LINES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition: its value may be at most `maximum`.

    `severity` and `metrics` choose the findings that count; no metrics are all of them. Kinds that compare numbers of
    the whole tree use neither.
    """

    kind: ConditionKind
    maximum: float
    severity: FindingSeverity = FindingSeverity.MEDIUM
    metrics: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JSON]:
        """Return the form that `parse_policy` reads."""
        form: dict[str, JSON] = {"kind": str(self.kind), "max": self.maximum}
        if self.kind.counts_findings:
            form |= {"severity": str(self.severity), "metrics": list(self.metrics)}
        return form


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Conditions, all of which must hold for the files of these roles.

    With fewer than `small_change_lines` added lines, conditions per 100 lines are waived.
    """

    conditions: tuple[Condition, ...]
    small_change_lines: int = SMALL_CHANGE_LINES
    roles: tuple[Role, ...] = (Role.SOURCE,)

    def to_json(self) -> dict[str, JSON]:
        """Return the form that `parse_policy` reads; a run keeps it beside its verdict."""
        return {
            "conditions": [condition.to_json() for condition in self.conditions],
            "small_change_lines": self.small_change_lines,
            "roles": [str(role) for role in self.roles],
        }


DEFAULT_POLICY = Policy(
    conditions=(
        Condition(kind=ConditionKind.NEW_FINDINGS, maximum=0),
        Condition(
            kind=ConditionKind.NEW_FINDINGS_PER_100_LINES,
            maximum=2,
            severity=FindingSeverity.LOW,
            metrics=("lint", "dead_code"),
        ),
        Condition(kind=ConditionKind.DUPLICATED_SHARE_INCREASE, maximum=1),
        Condition(kind=ConditionKind.DOCUMENTED_SHARE_DECREASE, maximum=1),
        Condition(kind=ConditionKind.QUALITY_SCORE_DECREASE, maximum=1),
    )
)
"""The policy of a submission that brings none. Over 18 pairs of releases of real packages it rejected 4."""


def parse_policy(document: object, metrics: Sequence[str]) -> Policy:
    """Read a policy from JSON. `metrics` are the names of those that have findings.

    A key that is left out has its default; `conditions` must be given. Raises InvalidInputError, in one line that
    names the key and what it accepts.
    """
    form = _object(document, "the gate policy", {"conditions", "small_change_lines", "roles"})
    conditions = form.get("conditions")
    if not isinstance(conditions, list) or not 1 <= len(conditions) <= MAX_CONDITIONS:
        raise InvalidInputError(f"conditions of the gate policy must be a list of 1 to {MAX_CONDITIONS} objects")
    return Policy(
        conditions=tuple(_condition(item, f"conditions[{index}]", metrics) for index, item in enumerate(conditions)),
        small_change_lines=_whole_number(form.get("small_change_lines", SMALL_CHANGE_LINES), "small_change_lines"),
        roles=_several(form.get("roles", [Role.SOURCE]), "roles", Role, list(Role)),
    )


def _condition(document: object, place: str, metrics: Sequence[str]) -> Condition:
    form = _object(document, place, {"kind", "max", "severity", "metrics"})
    kind = _one(form.get("kind"), f"{place}.kind", ConditionKind, list(ConditionKind))
    unused = sorted({"severity", "metrics"} & form.keys())
    if unused and not kind.counts_findings:
        raise InvalidInputError(f"{place}.{unused[0]} is of no use: {kind} does not count findings")
    severity = form.get("severity", FindingSeverity.MEDIUM)
    chosen = form.get("metrics") or []
    return Condition(
        kind=kind,
        maximum=_threshold(form.get("max"), f"{place}.max"),
        severity=_one(severity, f"{place}.severity", FindingSeverity, list(SEVERITIES)),
        metrics=_several(chosen, f"{place}.metrics", str, metrics) if chosen else (),
    )


def _object(document: object, place: str, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise InvalidInputError(f"{place} must be a JSON object")
    if unknown := sorted(str(key) for key in document.keys() - known):
        names = ", ".join(sorted(known))
        raise InvalidInputError(f"{place} has an unknown key {one_line(unknown[0], 50)!r}; it accepts {names}")
    return document


def _threshold(value: object, place: str) -> float:
    # The comparison also refuses NaN, infinity and whole numbers that no float can hold.
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1_000_000:
        raise InvalidInputError(f"{place} must be a number from 0 to 1000000")
    return float(value)


def _whole_number(value: object, place: str) -> int:
    if type(value) is not int or not 0 <= value <= 1_000_000:
        raise InvalidInputError(f"{place} must be a whole number from 0 to 1000000")
    return value


def _one(value: object, place: str, make: Callable[[str], T], accepted: Sequence[str]) -> T:
    if value not in accepted:
        raise InvalidInputError(f"{place} must be one of {', '.join(accepted)}")
    return make(str(value))


def _several(value: object, place: str, make: Callable[[str], T], accepted: Sequence[str]) -> tuple[T, ...]:
    if not isinstance(value, list) or not value or len(value) > len(accepted):
        raise InvalidInputError(f"{place} must be a list of {', '.join(accepted)}")
    return tuple(_one(item, f"{place}[{index}]", make, accepted) for index, item in enumerate(value))
