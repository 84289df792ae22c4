"""What is remembered of a source's files between runs, and why no file can speak for another.

The facts of a file are kept under a digest of its bytes, its path, the code that finds facts (our sources, every
distribution installed, Python itself), the user and the source. This worker computes the digests: it reads the files
and parses nothing. The child that collects is handed what is known, and hands over what it found out: it names files,
never digests, and what it says of a file that was known, or is not in the tree, is dropped.

Suppose that a file takes over the lane that parses it. It can lie about itself, and about the other files that this
lane was given: files of the same tree. It cannot answer for a file of another lane, which the supervisor refuses
(`collectors.engine.process_pool`), and it holds no descriptor to anyone else. Its lies outlive the run, under the
digests of those
files: for the same user and the same source alone. Another user who has the very same file asks under another
digest, and so does the same user for another repository. That is why nothing is shared between users or sources,
although it would save work. A lie ends when the file, the tools or our code change, or with the cache.

Who can write to Redis can change what is remembered. An entry that does not decode or looks wrong is a miss
(`collectors.engine.file_facts`); one that looks right is believed.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from domain.ports import FactsCache
from infrastructure.redis.facts_keys import TreeKeys, fingerprint, keyed, secret, tree_keys
from infrastructure.sources.tree.limits import SourceLimits
from worker.analysis.facts_exchange import HISTORY, OTHER_HISTORY, pack, unpack

log = structlog.get_logger(__name__)


class FactsKeeper:
    """The cache as a pipeline uses it."""

    def __init__(self, cache: FactsCache, limits: SourceLimits, code: bytes | None = None) -> None:
        """`code` stands for the code that finds the facts; by default the code that is running."""
        self._cache = cache
        self._limits = limits
        self._code = code or fingerprint()

    async def recall(self, scope: Sequence[str], tree: Path, branch: str | None = None) -> "Recalled":
        """What is known of the files below `tree`, and of the commits of its branch or else of another.

        `scope` says whose they are and where they come from.
        """
        key = secret(self._code, *(part.encode("utf-8", "surrogatepass") for part in scope))
        keys = await asyncio.to_thread(self._keys, tree, key)
        branches = {
            keyed(key, b"history", (branch or "").encode("utf-8", "surrogatepass")): HISTORY,
            keyed(key, b"history"): OTHER_HISTORY,
        }
        names = {**branches, **_by_digest(keys.contents, b""), **_by_digest(keys.places, b"/")}
        found = await self._cache.look_up(list(names))
        known = {names[digest]: entry for digest, entry in found.items()}
        missing = {name: digest for digest, name in names.items() if digest not in found or digest in branches}
        return Recalled(attachment=pack(known), missing=missing, cache=self._cache)

    def _keys(self, tree: Path, key: bytes) -> TreeKeys:
        try:
            limits = self._limits
            return tree_keys(tree, key, most_files=limits.max_tree_files, most_bytes=limits.max_file_bytes)
        except OSError as error:
            log.debug("facts.tree_unreadable", reason=error.strerror)
            return TreeKeys()


def _by_digest(keys: Mapping[bytes, bytes], suffix: bytes) -> dict[bytes, bytes]:
    return {digest: name + suffix for name, digest in keys.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What is known at the beginning of a run, for the child; and under which digests to keep the rest."""

    attachment: bytes
    missing: Mapping[bytes, bytes]
    cache: FactsCache

    async def keep(self, learned: bytes) -> None:
        """Keep what the child has found out about what was missing. Never raises."""
        try:
            entries = unpack(learned)
        except ValueError:
            log.warning("facts.unreadable")
            return
        if HISTORY in entries:
            entries[OTHER_HISTORY] = entries[HISTORY]
        wanted = {self.missing[name]: entry for name, entry in entries.items() if name in self.missing}
        if wanted:
            await self.cache.keep(wanted)
