"""The worker's directory below SCRATCH_DIR."""

import os
from pathlib import Path

import pytest

from domain.errors import InvalidInputError
from worker.analysis.workspace import worker_workspace

STICKY = 0o1777


def of_another_user(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the directory another user's: by its owner for root, else by who this process says it is."""
    if os.geteuid() == 0:
        os.chown(directory, 12345, 12345)
    else:
        me = os.geteuid()
        monkeypatch.setattr("os.geteuid", lambda: me + 1)


def test_directory_of_another_user_in_a_shared_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(STICKY)
    planted = shared / "vibe8-0"
    planted.mkdir()
    with worker_workspace(planted) as directory:
        assert directory.parent == planted
    of_another_user(planted, monkeypatch)
    with (
        pytest.raises(InvalidInputError, match=r"belongs to another user .*a directory of your own"),
        worker_workspace(planted),
    ):
        pytest.fail("it was used")
    assert list(planted.iterdir()) == []


def test_volume_of_another_user_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    of_another_user(volume, monkeypatch)
    with worker_workspace(volume) as directory:
        assert directory.parent == volume
