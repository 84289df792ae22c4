"""Memory and CPU time of a process and its descendants, sampled from /proc while they run."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SAMPLE_SECONDS = 0.05
_PSS = "Pss:"


@dataclass(slots=True)
class Peak:
    """The largest sum of the processes' proportional set sizes, in bytes, and the number of processes at that time."""

    pss: int = 0
    processes: int = 0


class TreeSampler:
    """Context manager that samples the process tree of `pid`. Short peaks between two samples are missed."""

    def __init__(self, pid: int) -> None:
        self.peak = Peak()
        self._cpu: dict[int, int] = {}
        self._pid = pid
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all processes up to the last sample of each, which is slightly too low."""
        return sum(self._cpu.values()) / 1e9

    def _run(self) -> None:
        while not self._stopped.wait(SAMPLE_SECONDS):
            pids = descendants(self._pid)
            for pid in pids:
                self._cpu[pid] = max(self._cpu.get(pid, 0), _cpu_nanoseconds(pid))
            total = sum(map(_pss, pids))
            if total > self.peak.pss:
                self.peak = Peak(pss=total, processes=len(pids))


def descendants(pid: int) -> list[int]:
    """Return the process and its descendants, in any session and process group."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parent = _parent(entry)
            if parent is not None:
                children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for each in found:
        found.extend(children.get(each, ()))
    return found


def _parent(entry: Path) -> int | None:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None  # the process has just ended


def _cpu_nanoseconds(pid: int) -> int:
    """Return the user and system time of a process's existing threads."""
    try:
        return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    except (OSError, ValueError, IndexError):
        return 0  # the process has just ended


def _pss(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith(_PSS))
