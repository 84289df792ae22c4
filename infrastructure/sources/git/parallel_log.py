"""Several processes of `git log` at once, each of which reads some of the commits."""

import fcntl
import os
import selectors
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import IO

from domain.history.commits import CommitList, LoggedCommit
from infrastructure.sources.git.command import GitConfig
from infrastructure.sources.git.log_format import CutRecords, ToTreePath, parse_log

MIN_COMMITS = 1_000
"""Commits that justify another process."""

MAX_PROCESSES = 4
CACHE_MB = 96
"""git's own default for the objects that it keeps because others are stored as differences to them; the processes share
it, but each has at least a third."""

_READ_BYTES = 1 << 20
_PAUSE_SECONDS = 0.004
"""Pause before the next look at pipes that were all empty. git writes blocks of 4 KiB, and waking this process for each
of them took as long as parsing them."""


def split_commits(commits: CommitList, processes: int) -> list[bytes]:
    """Split the commits among that many processes, or fewer; without commits there is no part. Returns lines of ids.

    Each gets one range of newer commits and one of older ones, since newer ones take longer. Within a range most
    objects are read for two commits in turn, and git finds them in its cache.
    """
    count = len(commits)
    if not count:
        return []
    number = max(1, min(processes, MAX_PROCESSES, count // MIN_COMMITS))
    width = len(commits.lines) // count
    edges = [count * edge // (2 * number) * width for edge in range(2 * number + 1)]
    ranges = [commits.lines[start:end] for start, end in pairwise(edges)]
    return [ranges[part] + ranges[-1 - part] for part in range(number)]


def cache_config(processes: int) -> GitConfig:
    """Return git's configuration of its cache, with which that many processes take little more memory than one."""
    return () if processes < 2 else (("core.deltaBaseCacheLimit", f"{max(CACHE_MB // processes, CACHE_MB // 3)}m"),)


def interleave(streams: Sequence[IO[bytes]], to_tree_path: ToTreePath) -> Iterator[LoggedCommit]:
    """Yield the commits of several logs, of each as far as its process has written. Raises ValueError for other output.

    Nothing else may have read from the streams.
    """
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            with suppress(OSError):  # git then waits more often
                fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, _READ_BYTES)
            records = CutRecords(partial(os.read, stream.fileno(), _READ_BYTES), b"\0")
            selector.register(stream, selectors.EVENT_READ, (records, parse_log(iter(records), to_tree_path)))
        while selector.get_map():
            if not (ready := selector.select(0)):
                time.sleep(_PAUSE_SECONDS)
                ready = selector.select()
            for key, _ in ready:
                at_end = yield from _at_hand(*key.data)
                if at_end:
                    selector.unregister(key.fileobj)


def _at_hand(records: CutRecords, log: Iterator[LoggedCommit]) -> Generator[LoggedCommit, None, bool]:
    """Yield the commits that need nothing more from the process, or one more. Return whether the log has ended."""
    for commit in log:
        yield commit
        if not records.are_at_hand():
            return False
    return True
