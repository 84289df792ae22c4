"""GitLab's code quality report of a run: a JSON list with an object for each finding."""

from collections import Counter
from hashlib import sha256

from domain.findings.severity import FindingSeverity
from domain.text import JSON
from infrastructure.json_codec import dumps
from worker.export.exported_run import ExportedFinding, ExportedRun

SEVERITIES = {
    FindingSeverity.HIGH: "critical",
    FindingSeverity.MEDIUM: "major",
    FindingSeverity.LOW: "minor",
    FindingSeverity.INFO: "info",
}


def gitlab(run: ExportedRun) -> bytes:
    """Return the report as UTF-8. Fixed findings are not in it: GitLab compares the reports of two commits itself.

    Each fingerprint is unique, and stays while the finding and its file's path do. Of several equal findings in a file
    the k-th has the k-th fingerprint.
    """
    seen: Counter[str] = Counter()
    report: list[JSON] = []
    for finding in run.findings:
        key = _key(finding)
        seen[key] += 1
        report.append(_item(finding, sha256(f"{key}\0{seen[key]}".encode()).hexdigest()))
    return dumps(report)


def _key(finding: ExportedFinding) -> str:
    about = [finding.fingerprint] if finding.fingerprint else [finding.rule, finding.function or "", finding.message]
    return "\0".join((finding.path, finding.metric, *about))


def _item(finding: ExportedFinding, fingerprint: str) -> dict[str, JSON]:
    lines = {"begin": finding.line or 1}
    if finding.end_line is not None:
        lines["end"] = finding.end_line
    return {
        "description": finding.message,
        "check_name": f"{finding.metric}/{finding.rule}",
        "fingerprint": fingerprint,
        "severity": SEVERITIES[finding.severity],
        "location": {"path": finding.path, "lines": lines},
    }
