import sys
from pathlib import Path

import pytest

from tests.tools import run_pythons
from tests.tools.run_pythons import find_interpreter, main


def test_interpreter_is_found_by_version_or_path() -> None:
    version = ".".join(map(str, sys.version_info[:2]))
    assert find_interpreter(sys.executable) == sys.executable
    found = find_interpreter(version)
    assert found is None or version in Path(found).resolve().name or "pyenv" in found


def test_interpreter_of_another_version_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = tmp_path / "python3.99"
    shim.symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_interpreter("3.99") is None


@pytest.mark.parametrize(("passes", "code"), [(True, 3), (False, 1)])
def test_what_was_not_found_is_listed(
    passes: bool, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_pythons, "_test", lambda _name, _python: passes)
    assert main([sys.executable, "3.99"]) == code
    assert "Python 3.99: not found" in capsys.readouterr().out
