"""Results of SARIF: one finding at its place."""

import re
from urllib.parse import quote

from domain.findings.severity import FindingSeverity
from domain.text import JSON, printable_line
from worker.export.exported_run import ExportedFinding

LEVELS = {
    FindingSeverity.HIGH: "error",
    FindingSeverity.MEDIUM: "warning",
    FindingSeverity.LOW: "note",
    FindingSeverity.INFO: "note",
}

BASE_ID = "SRCROOT"
"""The name of the directory to which paths are relative. GitHub takes the repository's root without being told."""

_BASELINE_STATES = {"new": "new", "unchanged": "unchanged", "moved": "updated", "updated": "updated", "fixed": "absent"}
_PLACEHOLDER = re.compile(r"\{(\d+)\}")


def sarif_uri(path: str, safe: str = "/") -> str:
    """Return the path as a relative URI reference; with other safe characters also a URL, escaped once."""
    return quote(printable_line(path).lstrip("/") or "/", safe=safe)


def sarif_text(text: str) -> str:
    """Return the text for a message: readers replace `{0}` in it, and make links of `[a](b)`."""
    text = _PLACEHOLDER.sub(r"{{\1}}", text)
    return text.replace("[", "\\[") if "](" in text else text


def sarif_result(finding: ExportedFinding, rule_index: int, *, full: bool, gone: bool = False) -> dict[str, JSON]:
    """Return a result: on one line, or if `full` over all its lines, with state and hashes.

    `gone` marks a finding of the baseline that is fixed.
    """
    artifact = {"uri": sarif_uri(finding.path)}
    place: dict[str, JSON] = {"artifactLocation": artifact}
    region = _region(finding) if full else _line_region(finding)
    if region:
        place["region"] = region
    location: dict[str, JSON] = {"physicalLocation": place}
    result: dict[str, JSON] = {
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": LEVELS[finding.severity],
        "message": {"text": sarif_text(finding.message)},
        "locations": [location],
    }
    hashes = {"primaryLocationLineHash": finding.location_hash}
    if full:
        artifact["uriBaseId"] = BASE_ID
        hashes["vibe8LineHash/v1"] = finding.line_hash
        if finding.function is not None:
            location["logicalLocations"] = [{"fullyQualifiedName": finding.function}]
        result |= _state(finding, gone=gone)
    known = {name: value for name, value in hashes.items() if value is not None}
    return {**result, "partialFingerprints": known} if known else result


def _line_region(finding: ExportedFinding) -> dict[str, JSON]:
    """Return the part of the finding on its first line.

    Without an end, or with one on a later line, the region reaches to the end of the line, as SARIF defines it. A
    finding without a line is shown at the first one.
    """
    line = finding.line or 1
    region = {"startLine": line, "startColumn": finding.column or 1, "endLine": line}
    if finding.end_line == line and finding.end_column is not None:
        region["endColumn"] = finding.end_column
    return region


def _region(finding: ExportedFinding) -> dict[str, JSON]:
    places = {
        "startLine": finding.line,
        "startColumn": finding.column,
        "endLine": finding.end_line,
        "endColumn": finding.end_column,
    }
    return {name: value for name, value in places.items() if value is not None}


def _state(finding: ExportedFinding, *, gone: bool) -> dict[str, JSON]:
    """Return the state and what else is known of the finding.

    SARIF has no state for findings that a changed tool, or a file that was not measured, adds: they are `updated` if
    the baseline had them, else `new`. `properties.state` has the exact one.
    """
    values = {
        "metric": finding.metric,
        "severity": str(finding.severity),
        "role": finding.role,
        "state": finding.state,
        "firstSeenAt": finding.first_seen_at,
    }
    more: dict[str, JSON] = {"properties": {name: value for name, value in values.items() if value is not None}}
    if finding.fingerprint is not None:
        more["fingerprints"] = {"vibe8/v1": finding.fingerprint}
    if gone:
        more["baselineState"] = "absent"
    elif finding.state is not None:
        otherwise = "new" if finding.first_seen_at is None else "updated"
        more["baselineState"] = _BASELINE_STATES.get(finding.state, otherwise)
    return more
