"""Backpressure: no new jobs while the machine is short of disk space or memory."""

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

MB = 1024 * 1024
MEASURE_SECONDS = 0.25
"""A measurement is used for so long. What a job takes does not show in its first moment anyway."""


@dataclass(slots=True, kw_only=True)
class Backpressure:
    """The limits: jobs are claimed while at least so much scratch space and memory, in MB, is available."""

    scratch: Path
    min_disk_mb: int
    min_memory_mb: int
    _reason: str | None = field(default=None, init=False)
    _measured_at: float = field(default=float("-inf"), init=False)

    def free_bytes(self) -> int:
        """Return the free scratch space in bytes."""
        return shutil.disk_usage(self.scratch).free

    def reason(self) -> str | None:
        """Return what is short, in one line, or None. The answer is at most MEASURE_SECONDS old."""
        if time.monotonic() - self._measured_at > MEASURE_SECONDS:
            self._reason, self._measured_at = self._measure(), time.monotonic()
        return self._reason

    def _measure(self) -> str | None:
        disk = self.free_bytes() // MB
        if disk < self.min_disk_mb:
            return f"scratch has {disk} MB free, less than MIN_FREE_DISK_MB {self.min_disk_mb}"
        memory = available_memory_mb()
        if memory is not None and memory < self.min_memory_mb:
            return f"{memory} MB of memory are available, less than MIN_FREE_MEMORY_MB {self.min_memory_mb}"
        return None


def available_memory_mb() -> int | None:
    """Return the memory available without swapping, within the container's limit; None if it is unknown."""
    amounts = [amount for amount in (_machine_available_mb(), _container_available_mb()) if amount is not None]
    return min(amounts, default=None)


def _machine_available_mb() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1024
    except OSError:
        pass
    return None


def _container_available_mb() -> int | None:
    """Return cgroup v2's limit minus the memory in use that the kernel cannot reclaim."""
    root = Path("/sys/fs/cgroup")
    try:
        limit = (root / "memory.max").read_text().strip()
        if limit == "max":
            return None
        statistics = dict(line.split() for line in (root / "memory.stat").read_text().splitlines())
        used = int((root / "memory.current").read_text()) - int(statistics.get("inactive_file", 0))
    except (OSError, ValueError):
        return None
    return (int(limit) - used) // MB
