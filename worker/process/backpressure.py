"""Whether this machine has room for another job."""

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

MB = 1024 * 1024
LOOK_SECONDS = 0.25
"""Between two looks: what a job takes does not show in its first moment anyway."""


@dataclass(slots=True, kw_only=True)
class Backpressure:
    """The least free scratch space and available memory, in MB, with which a job is still taken on."""

    scratch: Path
    min_disk_mb: int
    min_memory_mb: int
    _said: str | None = field(default=None, init=False)
    _looked: float = field(default=float("-inf"), init=False)

    def free_bytes(self) -> int:
        """The scratch space that is left."""
        return shutil.disk_usage(self.scratch).free

    def reason(self) -> str | None:
        """What is short, in one line; None where nothing is. At most LOOK_SECONDS old."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._said, self._looked = self._look(), time.monotonic()
        return self._said

    def _look(self) -> str | None:
        disk = self.free_bytes() // MB
        if disk < self.min_disk_mb:
            return f"scratch has {disk} MB free, less than MIN_FREE_DISK_MB {self.min_disk_mb}"
        memory = available_memory_mb()
        if memory is not None and memory < self.min_memory_mb:
            return f"{memory} MB of memory are available, less than MIN_FREE_MEMORY_MB {self.min_memory_mb}"
        return None


def available_memory_mb() -> int | None:
    """What the kernel says could be used without swapping, the container's own limit included; None if not told."""
    amounts = [amount for amount in (_of_machine(), _of_container()) if amount is not None]
    return min(amounts, default=None)


def _of_machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1024
    except OSError:
        pass
    return None


def _of_container() -> int | None:
    """From cgroup v2: the limit less what is used and cannot be given back."""
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
