"""Policies of the quality gate: what their JSON form accepts."""

import copy
import json
from typing import Any

import pytest

from domain.errors import InvalidInputError
from domain.findings.roles import Role
from domain.findings.severity import FindingSeverity
from domain.gate.policy import DEFAULT_POLICY, MAX_CONDITIONS, Condition, ConditionKind, Policy, parse_policy

METRICS = ("lint", "security", "dead_code")


def test_default_policy_survives_json() -> None:
    assert parse_policy(json.loads(json.dumps(DEFAULT_POLICY.to_json())), METRICS) == DEFAULT_POLICY


def test_keys_that_are_left_out_have_defaults() -> None:
    assert parse_policy({"conditions": [{"kind": "new_findings", "max": 3}]}, METRICS) == Policy(
        conditions=(Condition(kind=ConditionKind.NEW_FINDINGS, maximum=3, severity=FindingSeverity.MEDIUM),),
        small_change_lines=20,
        roles=(Role.SOURCE,),
    )


VALID = {"conditions": [{"kind": "new_findings", "max": 0, "severity": "low", "metrics": ["lint"]}]}
CONDITION = VALID["conditions"][0]


def changed(**values: Any) -> dict[str, Any]:
    return {"conditions": [{**CONDITION, **values}]}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "the gate policy must be a JSON object"),
        ("x", "the gate policy must be a JSON object"),
        (None, "the gate policy must be a JSON object"),
        ({}, f"conditions of the gate policy must be a list of 1 to {MAX_CONDITIONS} objects"),
        ({"conditions": []}, f"conditions of the gate policy must be a list of 1 to {MAX_CONDITIONS} objects"),
        (
            {"conditions": [CONDITION] * 10_000},
            f"conditions of the gate policy must be a list of 1 to {MAX_CONDITIONS} objects",
        ),
        (
            {**VALID, "condition": 1},
            "the gate policy has an unknown key 'condition'; it accepts conditions, roles, small_change_lines",
        ),
        (changed(min=1), "conditions[0] has an unknown key 'min'; it accepts kind, max, metrics, severity"),
        (changed(**{"\u202e" * 90: 1}), "conditions[0] has an unknown key "),
        ({"conditions": [7]}, "conditions[0] must be a JSON object"),
        (changed(kind="coverage"), "conditions[0].kind must be one of new_findings, "),
        (changed(kind=["new_findings"]), "conditions[0].kind must be one of new_findings, "),
        (changed(max=-1), "conditions[0].max must be a number from 0 to 1000000"),
        (changed(max=float("nan")), "conditions[0].max must be a number from 0 to 1000000"),
        (changed(max=float("inf")), "conditions[0].max must be a number from 0 to 1000000"),
        (changed(max=10**400), "conditions[0].max must be a number from 0 to 1000000"),
        (changed(max="1"), "conditions[0].max must be a number from 0 to 1000000"),
        (changed(max=True), "conditions[0].max must be a number from 0 to 1000000"),
        (changed(severity="critical"), "conditions[0].severity must be one of info, low, medium, high"),
        (changed(metrics=["coverage"]), "conditions[0].metrics[0] must be one of lint, security, dead_code"),
        (changed(metrics="lint"), "conditions[0].metrics must be a list of lint, security, dead_code"),
        (changed(metrics=["lint"] * 4), "conditions[0].metrics must be a list of lint, security, dead_code"),
        (
            changed(kind="quality_score_decrease"),
            "conditions[0].metrics is of no use: quality_score_decrease does not count findings",
        ),
        ({**VALID, "small_change_lines": -1}, "small_change_lines must be a whole number from 0 to 1000000"),
        ({**VALID, "small_change_lines": 1.5}, "small_change_lines must be a whole number from 0 to 1000000"),
        ({**VALID, "roles": []}, "roles must be a list of source, test, example, docs, generated"),
        ({**VALID, "roles": ["tests"]}, "roles[0] must be one of source, test, example, docs, generated"),
    ],
)
def test_invalid_policy_is_refused_in_one_line(document: Any, message: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        parse_policy(copy.deepcopy(document), METRICS)
    assert str(raised.value).startswith(message)
    assert len(str(raised.value)) < 300
    assert str(raised.value).isprintable()
