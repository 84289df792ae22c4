"""The audit says what it was told, and never that all is well when it was told nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tools import audit
from tests.tools.audit import ROOMS, AuditError, judge_lock

CLEAN = {"name": "a", "version": "1.0", "vulns": []}
KNOWN = {"name": "b", "version": "2.0", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1", "3.0"]}]}
UNMENDED = {"name": "c", "version": "3.0", "vulns": [{"id": "CVE-2", "fix_versions": []}]}
UNKNOWN = {"name": "d", "skip_reason": "Dependency not found"}


def judged(*packages: Any) -> list[str]:
    return list(judge_lock(json.dumps({"dependencies": packages}), ""))


def test_what_is_known_is_one_line_each() -> None:
    assert judged(CLEAN) == []
    assert judged(CLEAN, KNOWN, UNMENDED) == [
        "b 2.0: CVE-1, mended in 2.1, 3.0",
        "c 3.0: CVE-2, mended in no version yet",
    ]


def test_no_answer_is_not_a_clean_one() -> None:
    with pytest.raises(AuditError, match=r"no answer for 1 of 2 \(d, \.\.\.\)"):
        judged(CLEAN, UNKNOWN)
    with pytest.raises(AuditError, match="no answer for 0 of 0"):
        judged()
    with pytest.raises(AuditError, match=r"cannot be reached: ConnectionError: no route$"):
        list(judge_lock("", "Traceback\n  frames\nConnectionError: no route\n"))


@pytest.mark.parametrize(("packages", "code"), [([CLEAN], 0), ([KNOWN], 1), ([UNKNOWN], 2)])
def test_the_exit_code_tells_them_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], packages: list[Any], code: int
) -> None:
    monkeypatch.setattr(audit, "_run", lambda *_: (json.dumps({"dependencies": packages}), ""))
    assert audit.main("locks") == code
    shown = capsys.readouterr()
    assert len((shown.out + shown.err).splitlines()) == (len(audit.LOCKS) if code == 1 else 1)


def test_bandit_s_findings_are_seen_and_one_with_a_reason_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(audit, "ROOT", tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.bandit]\n")
    for room in ROOMS:
        (tmp_path / room).mkdir()
    (tmp_path / "worker/a.py").write_text("exec('1')\nexec('2')  # nosec B102 # noqa: S102 - the reason\n")
    assert list(audit.ourselves()) == ["worker/a.py:1: B102 Use of exec detected."]
    (tmp_path / "domain/b.py").write_text("def (:\n")
    with pytest.raises(AuditError, match=r"bandit could not read .*b\.py"):
        list(audit.ourselves())


def test_what_is_hidden_from_bandit_says_why() -> None:
    for room in ROOMS:
        for path in (Path(__file__).parents[3] / room).rglob("*.py"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if "# nosec B" in line:
                    _, _, reason = line.rpartition(" - ") if "# noqa" in line else line.rpartition("# ")
                    assert len(reason) > 3, f"{path}:{number}"
                    assert not reason.startswith("nosec"), f"{path}:{number}"
