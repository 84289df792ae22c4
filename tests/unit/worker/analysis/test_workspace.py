"""The worker's directory below SCRATCH_DIR."""

import fcntl
import os
import re
from pathlib import Path

import pytest

from domain.errors import InvalidInputError
from worker.analysis.workspace import Removals, job_workspace, remove_abandoned_workspaces, worker_workspace

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


def test_worker_that_starts_beside_another_does_not_take_its_directory_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock
    removed: list[int] = []

    def flock_after_another_worker_started(lock: int, operation: int) -> None:
        if operation == fcntl.LOCK_EX and not removed:
            removed.append(remove_abandoned_workspaces(tmp_path))
        flock(lock, operation)

    monkeypatch.setattr(fcntl, "flock", flock_after_another_worker_started)
    with worker_workspace(tmp_path) as directory:
        assert removed == [1]
        assert remove_abandoned_workspaces(tmp_path) == 0
        (directory / "file").touch()
    assert list(tmp_path.iterdir()) == []


async def test_names_of_job_directories_cannot_be_guessed(tmp_path: Path) -> None:
    names = set()
    for _ in range(2):
        async with Removals() as removals, job_workspace(tmp_path, removals) as directory:
            assert directory.stat().st_mode & 0o777 == 0o700
            names.add(directory.name)
    assert all(re.fullmatch("job-[0-9a-f]{32}", name) for name in names)
    assert len(names) == 2
    assert list(tmp_path.iterdir()) == []
