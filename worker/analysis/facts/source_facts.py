"""Cache of the facts about a source's files between runs, and why a hostile file cannot forge another's facts.

The facts of a file are stored under a digest of: its bytes, its path, the code that finds facts (this project's
sources, all installed distributions and Python itself), the user, and the source. The worker computes the digests; it
reads the files and parses nothing. The child that collects receives the known facts and returns those that it found. It
names files, never digests. The worker drops what the child says about a file that was known or that is not in the tree.

Suppose that a file takes over the pool process that parses it. It can then return false facts about itself, and about
the other files of the tree that this process was given. It cannot return facts about files of another pool process:
`collectors.engine.pool.process_pool` refuses them. The false facts outlive the run, but only for the same user and the
same source: another user, or another source of the same user, stores the same file under another digest. This is why
nothing is shared between users or sources, although sharing would save work. False facts end when the file, the tools
or this project's code change, or when the cache entry expires.

Whoever can write to Redis can change the cached facts. An entry that does not decode, or has a wrong shape, is a miss
(`collectors.engine.file_facts_cache`). An entry of the right shape is believed.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from domain.ports import FactsCache
from infrastructure.redis.facts_keys import TreeKeys, code_digest, derive_key, keyed_digest, tree_keys
from infrastructure.sources.tree.limits import SourceLimits
from worker.analysis.facts.wire_format import HISTORY_KEY, LATEST_HISTORY_KEY, pack, unpack

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFacts:
    """What the cache holds of one source.

    `attachment` is sent to the child that collects. `missing` maps the names of entries that the child may add to the
    digests under which they are stored.
    """

    attachment: bytes
    missing: Mapping[bytes, bytes]


class SourceFacts:
    """Cache of the facts of a source's files, as the pipeline uses it."""

    def __init__(self, cache: FactsCache, limits: SourceLimits, code: bytes | None = None) -> None:
        """`code` is a digest of the code that finds the facts; it defaults to that of the running code."""
        self._cache = cache
        self._limits = limits
        self._code = code or code_digest()

    async def get(self, scope: Sequence[str], tree: Path, branch: str | None = None) -> KnownFacts:
        """Return the cached facts of the files below `tree`, and of the history of its branch.

        Where nothing is known of the branch, the history of the branch that was analysed last is returned. `scope`
        names the user and the source.
        """
        key = derive_key(self._code, *(part.encode("utf-8", "surrogatepass") for part in scope))
        keys = await asyncio.to_thread(self._tree_keys, tree, key)
        branches = {
            keyed_digest(key, b"history", (branch or "").encode("utf-8", "surrogatepass")): HISTORY_KEY,
            keyed_digest(key, b"history"): LATEST_HISTORY_KEY,
        }
        names = {**branches, **_by_digest(keys.contents, b""), **_by_digest(keys.in_tree, b"/")}
        found = await self._cache.get(list(names))
        known = {names[digest]: entry for digest, entry in found.items()}
        missing = {name: digest for digest, name in names.items() if digest not in found or digest in branches}
        return KnownFacts(attachment=pack(known), missing=missing)

    async def put(self, known: KnownFacts, attachment: bytes) -> None:
        """Store the facts that the child attached to its answer, where `known` lists them as missing. Never raises."""
        try:
            entries = unpack(attachment)
        except ValueError:
            log.warning("facts.attachment_invalid")
            return
        if HISTORY_KEY in entries:
            entries[LATEST_HISTORY_KEY] = entries[HISTORY_KEY]
        wanted = {known.missing[name]: bytes(entry) for name, entry in entries.items() if name in known.missing}
        if wanted:
            await self._cache.put(wanted)

    def _tree_keys(self, tree: Path, key: bytes) -> TreeKeys:
        try:
            limits = self._limits
            return tree_keys(tree, key, max_files=limits.max_tree_files, max_file_bytes=limits.max_file_bytes)
        except OSError as error:
            log.debug("facts.tree_unreadable", reason=error.strerror)
            return TreeKeys()


def _by_digest(keys: Mapping[bytes, bytes], suffix: bytes) -> dict[bytes, bytes]:
    return {digest: name + suffix for name, digest in keys.items()}
