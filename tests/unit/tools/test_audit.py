"""The audit of dependencies and of our own code; a service that does not answer is never a clean result."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tools import audit
from tests.tools.audit import CHECKED_FOLDERS, AuditError, read_lock_report

CLEAN = {"name": "a", "version": "1.0", "vulns": []}
KNOWN = {"name": "b", "version": "2.0", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1", "3.0"]}]}
UNFIXED = {"name": "c", "version": "3.0", "vulns": [{"id": "CVE-2", "fix_versions": []}]}
UNKNOWN = {"name": "d", "skip_reason": "Dependency not found"}


def findings(*packages: Any) -> list[str]:
    return list(read_lock_report(json.dumps({"dependencies": packages}), ""))


def test_each_vulnerability_is_one_line() -> None:
    assert findings(CLEAN) == []
    assert findings(CLEAN, KNOWN, UNFIXED) == [
        "b 2.0: CVE-1, fixed in 2.1, 3.0",
        "c 3.0: CVE-2, fixed in no version yet",
    ]


def test_missing_answer_is_an_error() -> None:
    with pytest.raises(AuditError, match=r"no answer for 1 of 2 \(d, \.\.\.\)"):
        findings(CLEAN, UNKNOWN)
    with pytest.raises(AuditError, match="no answer for 0 of 0"):
        findings()
    with pytest.raises(AuditError, match=r"cannot be reached: ConnectionError: no route$"):
        list(read_lock_report("", "Traceback\n  frames\nConnectionError: no route\n"))


@pytest.mark.parametrize(("packages", "code"), [([CLEAN], 0), ([KNOWN], 1), ([UNKNOWN], 2)])
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], packages: list[Any], code: int
) -> None:
    monkeypatch.setattr(audit, "_run", lambda *_: (json.dumps({"dependencies": packages}), ""))
    assert audit.main("locks") == code
    shown = capsys.readouterr()
    assert len((shown.out + shown.err).splitlines()) == (len(audit.LOCKS) if code == 1 else 1)


def test_bandit_findings_are_listed_except_those_with_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(audit, "ROOT", tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.bandit]\n")
    for folder in CHECKED_FOLDERS:
        (tmp_path / folder).mkdir()
    (tmp_path / "worker/a.py").write_text("exec('1')\nexec('2')  # nosec B102 # noqa: S102 - the reason\n")
    assert list(audit.check_own_code()) == ["worker/a.py:1: B102 Use of exec detected."]
    (tmp_path / "domain/b.py").write_text("def (:\n")
    with pytest.raises(AuditError, match=r"bandit could not read .*b\.py"):
        list(audit.check_own_code())


def test_each_suppression_of_bandit_has_a_reason() -> None:
    suppressions = [
        (f"{path}:{number}", line)
        for folder in CHECKED_FOLDERS
        for path in (Path(__file__).parents[3] / folder).rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "# nosec B" in line
    ]
    assert suppressions
    for place, line in suppressions:
        _, _, reason = line.rpartition(" - ") if "# noqa" in line else line.rpartition("# ")
        assert len(reason) > 3, place
        assert not reason.startswith("nosec"), place
