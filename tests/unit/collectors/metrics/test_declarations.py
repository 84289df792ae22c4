"""What the ten collectors declare about their metrics."""

import pytest

from collectors.engine.discovery import declarations
from domain.findings.identity import IdentityKind
from domain.metrics.declaration import file_metrics_of
from domain.metrics.file_tree import FileMetrics, MeasuredFile
from domain.metrics.scoring import HEALTH_WEIGHTS
from domain.metrics.severity import Severity

METRICS = {declaration.name: declaration for declaration in declarations()}


def severity_of(name: str, keys: tuple[str, ...], values: tuple[float, ...]) -> str:
    """Return the severity in a file's node; a value beyond those of the keys is the file's source lines."""
    numbers = dict(zip(keys, values, strict=False))
    sloc = int(values[len(keys)]) if len(values) > len(keys) else 1
    declaration = METRICS[name]
    assert declaration.file_metric is not None
    file = MeasuredFile(path="a.py", size=1, sloc=sloc, numbers={name: {"low": 0, **numbers}})
    return str(FileMetrics([declaration]).of(file)[declaration.file_metric.key]["severity"])


@pytest.mark.parametrize(
    ("name", "keys", "low", "medium", "high"),
    [
        ("cyclomatic", ("max",), [(0,), (5,)], [(6,), (10,)], [(11,)]),
        ("docs", ("coverage_pct",), [(100,), (80,)], [(79.9,), (50,)], [(49.9,)]),
        ("mi", ("value",), [(70,)], [(69.9,), (20,)], [(19.9,)]),
        ("security", ("high", "medium"), [(0, 0)], [(0, 1)], [(1, 0), (1, 1)]),
        ("churn", ("lines",), [(99,)], [(100,), (500,)], [(501,)]),
        ("lint", ("count",), [(2, 100), (9, 0)], [(3, 100), (8, 100)], [(9, 100)]),
        ("dead_code", ("count",), [(1, 100)], [(2, 100), (4, 100)], [(5, 100)]),
        ("dupes", ("lines",), [(5, 100)], [(6, 100), (20, 100)], [(21, 100)]),
    ],
)
def test_severities_have_the_specified_thresholds(name, keys, low, medium, high) -> None:  # type: ignore[no-untyped-def]
    assert {severity_of(name, keys, values) for values in low} == {Severity.LOW}
    assert {severity_of(name, keys, values) for values in medium} == {Severity.MEDIUM}
    assert {severity_of(name, keys, values) for values in high} == {Severity.HIGH}


def test_every_health_input_is_declared_by_one_metric() -> None:
    inputs = [metric.health_input for metric in file_metrics_of(declarations()) if metric.health_input is not None]
    assert sorted(inputs) == sorted(HEALTH_WEIGHTS)


def test_findings_have_the_specified_identities() -> None:
    identities = {
        name: (metric.finding_identity.kind, metric.finding_identity.rule_family)
        for name, metric in METRICS.items()
        if metric.finding_identity is not None
    }
    specified = {
        "cyclomatic": (IdentityKind.QUALIFIED_NAME, "CC"),
        "docs": (IdentityKind.QUALIFIED_NAME, None),
        "dead_code": (IdentityKind.KIND_AND_NAME, None),
        "dupes": (IdentityKind.BLOCK_HASH, None),
        "lint": (IdentityKind.LINE_HASH, None),
        "security": (IdentityKind.LINE_HASH, None),
    }
    assert identities | specified == identities


def test_every_field_has_a_meaning() -> None:
    for metric in METRICS.values():
        assert all(field.meaning.endswith(".") for field in metric.aggregate)
        assert len(set(metric.keys)) == len(metric.keys)
    for file_metric in file_metrics_of(declarations()):
        assert all(field.meaning.endswith(".") for field in file_metric.fields)
