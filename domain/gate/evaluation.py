"""Evaluation of a gate policy: the status of each condition, and the verdict."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache, partial

from domain.findings.severity import FindingSeverity
from domain.gate.policy import Condition, ConditionKind, Policy
from domain.text import JSON

SHOWN_FINDINGS = 10
"""The most findings that a condition names; its value is their whole number."""

KEPT_POLICIES = 64
"""The most policies whose answers without a baseline are kept."""

_SECURITY = "security"
_PERCENT = 100.0


class Verdict(StrEnum):
    """The answer of the gate."""

    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    NOT_EVALUATED = "NOT_EVALUATED"


class Status(StrEnum):
    """The answer of one condition."""

    PASSED = "pass"
    FAIL = "fail"
    WAIVED = "waived"
    NOT_EVALUATED = "not_evaluated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Numbers of the files whose role a policy looks at; None for one that is not known. Shares are percentages."""

    duplicated_share: float | None = None
    documented_share: float | None = None
    quality_score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What changed since the baseline.

    `findings` are the current run's, as `analysis_runs.findings` lists them, with `state`, and `severity_before` where
    the state is `updated`. `roles` maps each path to its role. `added_lines` are those of the policy's roles; None
    where they are not known. `unmeasured` are the metrics whose findings one of the runs does not know. `same_files` is
    false where the globs of the runs differ: numbers of the whole tree are then of different files.
    """

    findings: Sequence[Mapping[str, JSON]]
    roles: Mapping[str, str]
    before: Totals
    after: Totals
    added_lines: int | None = None
    unmeasured: Collection[str] = ()
    same_files: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of one condition: `value` is what was measured, `baseline` the number it is compared with."""

    condition: Condition
    status: Status
    reason: str
    value: float | None = None
    baseline: float | None = None
    findings: Sequence[Mapping[str, JSON]] = ()

    def to_json(self) -> dict[str, JSON]:
        """Return the form that `analysis_runs.review_criteria_checklist` lists."""
        return {
            **self.condition.to_json(),
            "status": str(self.status),
            "value": self.value,
            "baseline": self.baseline,
            "reason": self.reason,
            "findings": [dict(item) for item in self.findings],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """The verdict, and the answer of each condition in the policy's order."""

    verdict: Verdict
    answers: Sequence[Answer] = field(default_factory=tuple)


def evaluate(policy: Policy, change: Change | None) -> GateResult:
    """Judge a change; None means that there is no baseline to compare with.

    Any condition that fails rejects. Without a baseline the run is not evaluated. Findings that are `tool_changed` or
    `not_measured` count for no condition, because nobody wrote them.
    """
    if change is None:
        return _without_baseline(policy)
    answers = [_answer(condition, policy, change) for condition in policy.conditions]
    rejected = any(answer.status is Status.FAIL for answer in answers)
    return GateResult(verdict=Verdict.REJECTED if rejected else Verdict.APPROVED, answers=answers)


@lru_cache(maxsize=KEPT_POLICIES)
def _without_baseline(policy: Policy) -> GateResult:
    reason = "there is no earlier run to compare with"
    answers = tuple(Answer(condition=each, status=Status.NOT_EVALUATED, reason=reason) for each in policy.conditions)
    return GateResult(verdict=Verdict.NOT_EVALUATED, answers=answers)


def _answer(condition: Condition, policy: Policy, change: Change) -> Answer:
    lacking = sorted(name for name in condition.metrics or change.unmeasured if name in change.unmeasured)
    if not condition.kind.counts_findings or not lacking:
        return _ANSWERS[condition.kind](condition, policy, change)
    text = f"{' and '.join(lacking)} {'was' if len(lacking) == 1 else 'were'} not measured in both runs"
    if set(condition.metrics) == set(lacking):
        return Answer(condition=condition, status=Status.NOT_EVALUATED, reason=text)
    answer = _ANSWERS[condition.kind](condition, policy, change)
    return replace(answer, reason=f"{answer.reason} ({text})")


def _new_findings(condition: Condition, policy: Policy, change: Change) -> Answer:
    counted = [
        item
        for item in _in_scope(condition, policy, change)
        if FindingSeverity(item["severity"]).rank >= condition.severity.rank and _is_new_or_worse(item)
    ]
    text = f"{_count(len(counted), 'finding')} of {condition.severity} severity or above"
    text += " is new or has become worse" if len(counted) == 1 else " are new or have become worse"
    return _judged(condition, len(counted), f"{text}; at most {condition.maximum:g} may be", findings=counted)


def _new_findings_per_100_lines(condition: Condition, policy: Policy, change: Change) -> Answer:
    counted = [
        item
        for item in _in_scope(condition, policy, change)
        if item["state"] == "new" and item["severity"] == str(condition.severity)
    ]
    if change.added_lines is None:
        reason = "the number of added lines is not known: both commits must be in the history"
        return Answer(condition=condition, status=Status.NOT_EVALUATED, reason=reason, findings=_shown(counted))
    if change.added_lines < policy.small_change_lines:
        reason = f"{_count(change.added_lines, 'added line')}, fewer than {policy.small_change_lines}: too few to judge"
        return Answer(condition=condition, status=Status.WAIVED, reason=reason, findings=_shown(counted))
    density = len(counted) * _PERCENT / change.added_lines if change.added_lines else 0.0
    reason = (
        f"{_count(len(counted), f'new {condition.severity} finding')} in {_count(change.added_lines, 'added line')}: "
        f"{density:.1f} per 100; at most {condition.maximum:g} may be"
    )
    return _judged(condition, density, reason, findings=counted)


def _difference(name: str, noun: str, sign: int, condition: Condition, _: Policy, change: Change) -> Answer:
    """Answer a condition on a number of the whole tree; `sign` is 1 if a rise is worse, -1 if a fall is."""
    before, after = getattr(change.before, name), getattr(change.after, name)
    if not change.same_files:
        reason = f"the {noun} is of other files in the earlier run: include or exclude differ"
        return Answer(condition=condition, status=Status.NOT_EVALUATED, reason=reason, baseline=before)
    if before is None or after is None:
        run = "the earlier" if before is None else "this"
        reason = f"the {noun} is not known for {run} run"
        return Answer(condition=condition, status=Status.NOT_EVALUATED, reason=reason, baseline=before)
    worse = round(sign * (after - before), 6)  # 61.0 - 60.0 must not exceed 1 by a rounding error
    word = "rose" if after > before else "fell"
    moved = f"{word} from {before:.1f} to {after:.1f}" if after != before else f"stays {after:.1f}"
    verb = "rise" if sign > 0 else "fall"
    reason = f"the {noun} {moved}; it may {verb} by at most {condition.maximum:g}"
    return _judged(condition, max(0.0, worse), reason, baseline=before)


def _judged(
    condition: Condition,
    value: float,
    reason: str,
    *,
    baseline: float | None = None,
    findings: Sequence[Mapping[str, JSON]] = (),
) -> Answer:
    status = Status.FAIL if value > condition.maximum else Status.PASSED
    return Answer(
        condition=condition,
        status=status,
        reason=reason,
        value=value,
        baseline=baseline,
        findings=_shown(findings),
    )


def _in_scope(condition: Condition, policy: Policy, change: Change) -> Iterable[Mapping[str, JSON]]:
    roles = {str(role) for role in policy.roles}
    for item in change.findings:
        if condition.metrics and item["metric"] not in condition.metrics:
            continue
        if change.roles.get(item["path"]) in roles:
            yield item


def _is_new_or_worse(item: Mapping[str, JSON]) -> bool:
    if item["state"] != "updated":
        return bool(item["state"] == "new")
    if item["metric"] == _SECURITY:  # a new `eval` in the place of an old one has the severity of the old one
        return True
    before = item.get("severity_before")
    return before is not None and FindingSeverity(item["severity"]).rank > FindingSeverity(before).rank


def _shown(findings: Sequence[Mapping[str, JSON]]) -> Sequence[Mapping[str, JSON]]:
    """Return the findings that weigh most: by severity, then security first, then by place."""

    def weight(item: Mapping[str, JSON]) -> tuple[int, bool, str, int]:
        return -FindingSeverity(item["severity"]).rank, item["metric"] != _SECURITY, item["path"], item["line"] or 0

    return sorted(findings, key=weight)[:SHOWN_FINDINGS]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


_ANSWERS: Mapping[ConditionKind, Callable[[Condition, Policy, Change], Answer]] = {
    ConditionKind.NEW_FINDINGS: _new_findings,
    ConditionKind.NEW_FINDINGS_PER_100_LINES: _new_findings_per_100_lines,
    ConditionKind.DUPLICATED_SHARE_INCREASE: partial(_difference, "duplicated_share", "duplicated share", 1),
    ConditionKind.DOCUMENTED_SHARE_DECREASE: partial(_difference, "documented_share", "documented share", -1),
    ConditionKind.QUALITY_SCORE_DECREASE: partial(_difference, "quality_score", "quality score", -1),
}
