"""Protocols that packages use of each other. `worker` passes in the implementations."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.history.commits import CommitList, LoggedCommit
from domain.sandbox import SandboxProfile
from domain.text import JSON


class History(Protocol):
    """The git history of HEAD: every commit, without history simplification, and without git attributes."""

    def head(self) -> tuple[str, int]:
        """Return the full hash of HEAD's commit, and the committer's date in seconds since 1970."""
        ...

    def is_ancestor(self, commit: str) -> bool:
        """Return whether HEAD can reach the commit with this full hash; False if the hash is invalid or unknown."""
        ...

    def commit_digest(self, commit: str) -> bytes:
        """Return a digest of the whole content of a commit that HEAD reaches: who lacks the history cannot compute it.

        Raises PermanentError.
        """
        ...

    def path_scope(self) -> str:
        """Return what the paths of `log` depend on beside the commits.

        Two histories with the same commits and the same scope have the same paths.
        """
        ...

    def list_commits(self, *, since: str | None = None) -> CommitList:
        """Return the commits that HEAD reaches, or those of `since..HEAD`; `since` is an ancestor of HEAD.

        Its length is `git rev-list --count --no-merges HEAD`. Raises PermanentError.
        """
        ...

    def log(self, commits: CommitList) -> Iterator[LoggedCommit]:
        """Yield each of these commits that changed a `.py` file, in any order.

        Raises PermanentError with a message of one line if git fails.
        """
        ...

    def is_shallow(self) -> bool:
        """Return whether the history is incomplete (a shallow clone), so that the numbers are a lower bound."""
        ...

    def is_partial(self) -> bool:
        """Return whether the contents of old files may be missing (a partial clone), so that no line can be counted."""
        ...


class FactsCache(Protocol):
    """A cache whose entries may disappear at any time; callers can compute everything again."""

    async def get(self, digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Return the entries that exist. Returns none if the cache is unreachable or slow, instead of raising."""
        ...

    async def put(self, entries: Mapping[bytes, bytes]) -> None:
        """Store the entries that fit. Does nothing if the cache is unreachable or slow, instead of raising."""
        ...


class PackageIndex(Protocol):
    """A PEP 691 simple index."""

    async def prepare(self) -> None:
        """Load what the first look-up needs, so that it starts sooner. Does not raise."""
        ...

    async def latest_versions(self, packages: Sequence[str]) -> Mapping[str, str | None]:
        """Return package to its highest version that is neither a pre-release nor yanked; None if it is unknown.

        Returns within the time limit of the implementation, whatever the index does, and does not raise.
        """
        ...


class ClosablePackageIndex(PackageIndex, Protocol):
    """A package index that keeps connections open."""

    async def aclose(self) -> None:
        """Close them."""
        ...


class ProcessControl(Protocol):
    """Calls with which a forked process separates itself from what it inherited. Each works on the calling process."""

    def close_other_fds(self, *kept: int) -> None:
        """Close all file descriptors but these and the standard streams."""
        ...

    def set_parent_death_signal(self, parent_pid: int) -> None:
        """Have the kernel kill this process when its parent dies; kill it now if that has happened.

        Takes no lock, so that it may be called between `fork` and `exec`. Does nothing on systems other than Linux.
        """
        ...


ProgressListener = Callable[[Mapping[str, JSON]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """A second call in the same child: `entry` gets `request`, with the first call's result under PREVIOUS_RESULT."""

    entry: str
    request: Mapping[str, JSON]


PREVIOUS_RESULT = "previous_result"


class ChildRunner(Protocol):
    """Runs functions of this program on hostile input, each in a process group that can be killed at any time."""

    async def run(
        self,
        entry: str,
        request: Mapping[str, JSON],
        *,
        sandbox: SandboxProfile | None,
        deadline: float,
        on_progress: ProgressListener | None = None,
        follow_up: FollowUp | None = None,
        attachment: Callable[[], Awaitable[bytes]] | None = None,
    ) -> Mapping[str, JSON]:
        """Call `entry` (`"module:function"`) with the request in a child process and return its result.

        Request and result hold JSON. The result may also hold bytes under the key `attachment`. With `attachment` the
        request has under that key a function that returns its bytes; they are awaited while the child begins. A long
        list that the function reports in parts is in the result under the key `items`.

        `sandbox` is what the child may access. With None only its resource usage is limited. `follow_up` is called in
        the same child after write access has been revoked; `run` then returns the follow-up's result, with the first
        result under PREVIOUS_RESULT.

        Raises the PermanentError or TransientError that the function raised, and AnalysisKilledError if the child died
        or exceeded `deadline` (seconds; `timed_out` is then true). A cancelled call returns only after the whole
        process group is killed.
        """
        ...
