"""What a peer of this program's queue is: a module in this folder with these names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

SLOTS = 20
"""Jobs that one worker runs at the same time, of every peer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """How a peer keeps its jobs, by its documentation and its code, and how it is set up here."""

    packages: tuple[str, ...]
    """The packages whose versions are printed, the peer's own first."""
    jobs: int
    """Usual number of jobs of a measurement: a few seconds of work for one worker on two cores."""
    server: str
    claim_durable: bool
    """Whether a claim is committed to PostgreSQL before the task starts."""
    end_durable: bool
    """Whether the end of a job is committed to PostgreSQL."""
    result_stored: bool
    set_up: str
    """One line: what of its documentation is followed."""


class Peer(Protocol):
    """The module of a peer. All times are in seconds since 1970, by the one clock of this machine."""

    ABOUT: About

    def worker_command(self) -> Sequence[str]:
        """Return the command that starts one worker with SLOTS slots, by the peer's own program."""

    async def submit(self, count: int) -> None:
        """Remove the jobs of earlier runs, and submit so many tasks that do nothing."""

    async def moments(self) -> tuple[int, float, float]:
        """Return how many jobs have ended with success, and when the first began and the last ended.

        Called each half second while workers run: it must be cheap while jobs are left.
        """
