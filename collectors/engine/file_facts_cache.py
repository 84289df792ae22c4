"""Cache of the facts of single files, from earlier runs and for later ones.

The cache is an optimisation: a file whose facts are cached is neither read nor parsed, and every number is the same.
An entry holds the facts of one file. It depends on the file's bytes and path and on the code that inspected it, so
entries must be stored under a key made from all of these (see `worker.analysis.facts.source_facts`).

An entry is used only if it decodes, has the current format, and matches the schema that each collector declares.
Otherwise the file is inspected again. The facts of a collector stay packed until they are used, which is nearly always
in the process that summarizes them: decoding all of them in one process would delay the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from collectors.contract import Facts, FileCollector
from collectors.engine.pool.steps import FILE_STEP, UnitResult
from collectors.schemas import Schema, booleans, counts_or_none, row, strings, strings_or_none
from collectors.source.source_tree import TOO_DEEP, FileEntry

FORMAT = 3
"""The version of an entry's layout. Increase it when the layout changes."""

ENTRY_BYTES = 2 << 20
"""The largest entry that is kept."""

Entry = bytes | memoryview

FILE_STEP_SCHEMA = row(strings_or_none, counts_or_none, strings, booleans)


class InvalidFactsError(Exception):
    """Cached facts do not decode, or do not match their schema."""


@dataclass(frozen=True, slots=True)
class PackedFacts:
    """Cached facts of one collector about one file."""

    packed: bytes
    schema: Schema

    def unpack(self) -> Facts:
        """Return the facts. Raises InvalidFactsError."""
        facts = _decode(self.packed)
        if not self.schema.matches(facts):
            raise InvalidFactsError
        return facts


def plain(facts: Facts | PackedFacts) -> Facts:
    """Return facts, unpacked if they are from the cache. Raises InvalidFactsError."""
    return facts.unpack() if type(facts) is PackedFacts else facts


class FileFactsCache:
    """Entries by a file's `raw_path`.

    Two other kinds of entries have names that no file has: answers of a tool about a file (`NAME/`), and the saved
    state of a tree collector (`/COLLECTOR`).
    """

    def __init__(self, known: Mapping[bytes, Entry]) -> None:
        self._known = known
        self._uses_files = True
        self.new_entries: dict[bytes, bytes] = {}
        """Entries to store after this run: those that were missing or were discarded."""

    def __contains__(self, entry: FileEntry) -> bool:
        """Return whether something is cached of the file's own facts, valid or not."""
        return self._uses_files and entry.raw_path in self._known

    def discard_files(self) -> None:
        """Use no facts of files any more, since some turned out to be invalid."""
        self._uses_files = False

    def get(self, entry: FileEntry, collectors: Sequence[FileCollector]) -> Mapping[str, Facts | PackedFacts] | None:
        """Return a file's facts by step, or None if they are not cached. Those of collectors are packed, or None."""
        if entry not in self:
            return None
        parts = _split(self._known[entry.raw_path])
        if parts is None or parts.keys() != {FILE_STEP, *(collector.metric.name for collector in collectors)}:
            return None
        try:
            facts = {FILE_STEP: PackedFacts(parts[FILE_STEP], FILE_STEP_SCHEMA).unpack()}
        except InvalidFactsError:
            return None
        for collector in collectors:
            packed = parts[collector.metric.name]
            facts[collector.metric.name] = None if packed == _NONE else PackedFacts(packed, collector.facts_schema)
        return facts

    def put(self, entry: FileEntry, result: UnitResult) -> None:
        """Keep a file's facts, unless a step failed: the failure may not happen again."""
        values = result.values
        if result.failures or FILE_STEP not in values or values[FILE_STEP][0] == TOO_DEEP:
            return
        self._keep(entry.raw_path, values)

    def get_answers(self, collector: str, schema: Schema, entries: Sequence[FileEntry]) -> dict[str, Facts]:
        """Return the cached answers of a collector's tool, by path.

        They were given while all names and modes of the tree were the same as now.
        """
        schemas = {collector: schema}
        found = ((entry.path, self._known.get(_answer_name(entry))) for entry in entries)
        answers = ((path, packed and unpack(packed, schemas)) for path, packed in found)
        return {path: answer[collector] for path, answer in answers if answer}

    def put_answers(
        self, collector: str, schema: Schema, entries: Sequence[FileEntry], answers: Mapping[str, Facts]
    ) -> None:
        """Keep the answers that match the schema; the tool failed on the other files."""
        for entry in entries:
            answer = answers.get(entry.path)
            if schema.matches(answer):
                self._keep(_answer_name(entry), {collector: answer})

    def get_states(self, collector: str) -> Sequence[Entry]:
        """Return the states that earlier runs of a tree collector saved."""
        return [packed for name, packed in self._known.items() if name.rstrip(b"/") == state_name(collector)]

    def put_state(self, collector: str, state: bytes) -> None:
        """Keep the state of a tree collector."""
        self.new_entries[state_name(collector)] = state

    def _keep(self, name: bytes, facts: Mapping[str, Facts]) -> None:
        packed = pack(facts)
        if len(packed) <= ENTRY_BYTES:
            self.new_entries[name] = packed


def _answer_name(entry: FileEntry) -> bytes:
    """Return the name of an answer's entry. No file's relative path ends with a slash."""
    return entry.raw_path + b"/"


def state_name(collector: str) -> bytes:
    """Return the name of a state's entry. Further states of the same collector have slashes appended.

    No file's relative path begins with a slash.
    """
    return b"/" + collector.encode()


def pack(facts: Mapping[str, Facts]) -> bytes:
    """Encode one entry: the facts of each step by themselves, so that one can be decoded without the others."""
    return _encode([FORMAT, {step: _encode(value) for step, value in facts.items()}])


def unpack(packed: Entry, schemas: Mapping[str, Schema]) -> Mapping[str, Facts] | None:
    """Decode one entry: facts by step. Return None unless it holds exactly the steps of `schemas` and matches them."""
    parts = _split(packed)
    if parts is None or parts.keys() != schemas.keys():
        return None
    try:
        return {step: PackedFacts(part, schemas[step]).unpack() for step, part in parts.items()}
    except InvalidFactsError:
        return None


def _split(packed: Entry) -> Mapping[str, bytes] | None:
    """Return the packed facts by step; None for what is no entry."""
    try:
        entry = _decode(packed)
    except InvalidFactsError:
        return None
    if not isinstance(entry, list) or len(entry) != 2 or entry[0] != FORMAT or not isinstance(entry[1], dict):
        return None
    parts = entry[1]
    return parts if set(map(type, parts.values())) <= {bytes} else None


def _encode(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogatepass")
    return packed


def _decode(packed: Entry) -> Any:
    try:
        return msgpack.unpackb(packed, raw=False, unicode_errors="surrogatepass")
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise InvalidFactsError from error


_NONE = _encode(None)
