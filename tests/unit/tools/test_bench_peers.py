"""`make bench-queue` with a queue to compare with that is not installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.queue import peers
from tests.unit.deploy.project_files import ROOT


@pytest.mark.parametrize("name", peers.PEERS)
def test_missing_peer_is_named_in_one_line_and_ends_with_status_2(name: str) -> None:
    # -S: without the packages of this environment.
    command = [sys.executable, "-S", "-m", "benchmarks.peers.run", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert name in line
    assert "make bench-queue" in line


def test_missing_environment_is_named_in_one_line_and_ends_with_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(peers, "PYTHON", tmp_path / "bin" / "python")
    with pytest.raises(SystemExit) as ended:
        peers.describe("saq_redis")
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "make bench-queue" in line


def test_arq_needs_no_other_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peers, "PYTHON", tmp_path / "bin" / "python")
    assert not peers.describe("arq").does_the_same
