"""What the rooms need of each other, as protocols. `worker` hands the implementations in."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.sandbox import SandboxProfile
from domain.text import JSON


class History(Protocol):
    """The commit history of HEAD, as git tells it: every commit, none simplified away, attributes not honoured."""

    def head(self) -> str:
        """The full name of HEAD's commit."""
        ...

    def is_ancestor(self, commit: str) -> bool:
        """Whether HEAD reaches the commit of that full name; False for what is no name, or no commit here."""
        ...

    def path_scope(self) -> str:
        """What the paths of `numstat` depend on beside the commits: equal views of equal commits tell equal paths."""
        ...

    def commit_count(self, *, since: str | None = None) -> int:
        """`git rev-list --count --no-merges HEAD`; of those alone that the ancestor `since` does not reach."""
        ...

    def numstat(self, *, since: str | None = None) -> Iterator[tuple[str, int, int]]:
        """(path, added, deleted) lines for each changed `.py` file of each non-merge commit, renames not followed.

        Raises PermanentError with one line where git fails.
        """
        ...

    def is_shallow(self) -> bool:
        """Whether the history was cut off, so that the numbers are a lower bound."""
        ...


class FactsCache(Protocol):
    """Entries that may be gone at any time; whoever asks can find everything out again."""

    async def get(self, digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """The entries that there are. Never raises: whatever is wrong, nothing is known."""
        ...

    async def put(self, entries: Mapping[bytes, bytes]) -> None:
        """Take the entries in, as far as there is room. Never raises."""
        ...


class PackageIndex(Protocol):
    """A PEP 691 simple index."""

    async def latest_versions(self, packages: Sequence[str]) -> Mapping[str, str | None]:
        """Package to its highest version that is neither a pre-release nor yanked, `None` where not known.

        Answers within the time it was built with, whatever the index does; never raises.
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
    ) -> Mapping[str, JSON]:
        """Call `entry` (`"module:function"`) with the request in a child process and return its result.

        Request and result hold JSON, and optionally bytes under the key `attachment`.

        `sandbox` is what the child may access. With None only its resource usage is limited. `follow_up` is called in
        the same child after write access has been revoked; `run` then returns the follow-up's result, with the first
        result under PREVIOUS_RESULT.

        Raises the PermanentError or TransientError that the function raised, and AnalysisKilledError if the child died
        or exceeded `deadline` (seconds). A cancelled call returns only after the whole process group is killed.
        """
        ...
