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

    async def look_up(self, digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """The entries that there are. Never raises: whatever is wrong, nothing is known."""
        ...

    async def keep(self, entries: Mapping[bytes, bytes]) -> None:
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
class Sequel:
    """What a child does next: `entry` is called with the request, in which BEFORE is the first function's answer."""

    entry: str
    request: Mapping[str, JSON]


BEFORE = "before"


class ChildRunner(Protocol):
    """Runs a function of ours on hostile input, in a process group of its own that can always be killed."""

    async def run(
        self,
        entry: str,
        request: Mapping[str, JSON],
        *,
        sandbox: SandboxProfile | None,
        deadline: float,
        on_progress: ProgressListener | None = None,
        then: Sequel | None = None,
    ) -> Mapping[str, JSON]:
        """Call `entry` (`"module:function"`) with the request in a child and return its answer.

        Both may hold bytes under the key `attachment`, and JSON otherwise.

        `sandbox` is what the child may touch; with None it is limited in what it uses, and confined in nothing else.
        `then` is done by the same child, which may write nothing any more; its answer is returned, with the first one
        under BEFORE.

        Raises the PermanentError or TransientError that the function raised, and AnalysisKilledError when the child
        died or passed `deadline` (seconds). Cancelling kills the whole process group before it returns.
        """
        ...
