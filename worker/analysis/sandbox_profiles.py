"""Sandbox profiles of an analysis: one for fetching, one for collecting; and how much memory each may take."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from domain.sandbox import SandboxProfile
from domain.sources import normalize_repository_url
from domain.text import JSON
from infrastructure.sources.local.history import paths_to_read

HTTPS_PORT = 443


MIB = 1 << 20
LEAST_FETCH_BYTES = 512 * MIB
"""What Python and git need, however small `ANALYSIS_MEMORY_MB` is."""

MAX_CHECKS = 2
"""Tracked repositories that a worker checks at a time at most. More would take cores from jobs."""

CHECK_BYTES = 256 * MIB
"""What the child of a check may take: Python, which it shares with the zygote, and git."""

CHECK_ADDRESS_BYTES = 1 << 30
"""Address space of a process of a check. Stacks of threads count, which are never touched."""


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """The memory that all children of a worker may take together.

    `unit` is what an analysis may take for each of its cores, in bytes (`ANALYSIS_MEMORY_MB`), and `cores` is how many
    all analyses may have. At most `fetches` sources are fetched at a time, checks of tracked repositories among them,
    and one small upload runs beside all others (`express`). A child that takes more than its part is killed, so that
    the sum holds.
    """

    unit: int
    cores: int

    @property
    def fetches(self) -> int:
        """The number of sources that may be fetched at a time."""
        return self.cores + 1

    @property
    def total_bytes(self) -> int:
        """The sum of what all children may take."""
        return self.cores * self.unit + self.fetches * self._fetch_bytes + self._express_bytes

    @property
    def _fetch_bytes(self) -> int:
        return max(self.unit // 2, LEAST_FETCH_BYTES)

    @property
    def _express_bytes(self) -> int:
        return max(self.unit // 4, LEAST_FETCH_BYTES)

    def fetching(self, profile: SandboxProfile) -> SandboxProfile:
        """Limit a child that only fetches. git itself gets less, so that it says what it lacks before it is killed."""
        memory = max(3 * self.unit // 8, LEAST_FETCH_BYTES)
        return replace(profile, memory_bytes=memory, total_memory_bytes=self._fetch_bytes)

    @property
    def checks(self) -> int:
        """The number of tracked repositories that may be checked at a time: one place to fetch is always for jobs."""
        return max(1, min(MAX_CHECKS, self.fetches - 1))

    def checking(self, profile: SandboxProfile) -> SandboxProfile:
        """Limit a child that only asks a git host for heads."""
        return replace(profile, memory_bytes=CHECK_ADDRESS_BYTES, total_memory_bytes=CHECK_BYTES)

    def analysing(self, profile: SandboxProfile, cores: int, *, express: bool = False) -> SandboxProfile:
        """Limit a child that analyses on so many cores, or, with `express`, on none of those."""
        return replace(profile, total_memory_bytes=self._express_bytes if express else cores * self.unit)


UNLIMITED_MEMORY = MemoryBudget(unit=1 << 40, cores=1 << 16)


def build_profiles(scratch: Path, source: Mapping[str, JSON]) -> tuple[SandboxProfile, SandboxProfile]:
    """Return the profile for fetching `source` into `scratch`, and the one for collecting.

    Fetching may write `scratch` and connect to the git host. Collecting may only read `scratch`. Both may read the git
    history of a local directory, which is not copied. `source` is what `worker.analysis.child_tasks.fetch` reads.
    Raises InvalidInputError for a repository URL that is not allowed.
    """
    fetching: list[Path] = []
    collecting: list[Path] = []
    ports: tuple[int, ...] = ()
    if source["kind"] == "repository":
        url = normalize_repository_url(
            str(source["url"]), source["allowed_hosts"]
        )  # the row may have been written by another program
        ports = (urlsplit(url).port or HTTPS_PORT,)
        fetching = [Path(source["ca_bundle"])] if source["ca_bundle"] else []
    elif source["kind"] == "directory":
        paths = paths_to_read(Path(source["path"]))
        fetching, collecting = list(paths.fetching), list(paths.collecting)
    return (
        SandboxProfile(
            scratch=str(scratch), scratch_writable=True, readable_paths=_absolute(fetching), tcp_ports=ports
        ),
        SandboxProfile(scratch=str(scratch), readable_paths=_absolute(collecting)),
    )


def _absolute(paths: list[Path]) -> tuple[str, ...]:
    return tuple(str(path.absolute()) for path in paths)
