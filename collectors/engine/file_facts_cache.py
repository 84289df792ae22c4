"""Cache of the facts of single files, from earlier runs and for later ones.

The cache is an optimisation: a file whose facts are cached is neither read nor parsed, and every number is the same.
An entry holds the facts of one file. It depends on the file's bytes and path and on the code that inspected it, so
entries must be stored under a key made from all of these (see `worker.analysis.facts.source_facts`).

An entry is used only if it decodes, has the current format, and matches the schema that each collector declares.
Otherwise the file is inspected again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgpack

from collectors.contract import Facts, FileCollector
from collectors.engine.steps import FILE_STEP, UnitResult
from collectors.schemas import Schema, booleans, counts_or_none, nullable, row, strings, strings_or_none
from collectors.source.source_tree import TOO_DEEP, FileEntry

FORMAT = 2
"""The version of an entry's layout. Increase it when the layout changes."""

ENTRY_BYTES = 2 << 20
"""The largest entry that is kept."""

FILE_STEP_SCHEMA = row(strings_or_none, counts_or_none, strings, booleans)


class FileFactsCache:
    """Entries by a file's `raw_path`.

    Two other kinds of entries have names that no file has: answers of a tool about a file (`NAME/`), and the saved
    state of a tree collector (`/COLLECTOR`).
    """

    def __init__(self, known: Mapping[bytes, bytes]) -> None:
        self._known = known
        self.new_entries: dict[bytes, bytes] = {}
        """Entries to store after this run: those that were missing or were discarded."""

    def get(self, entry: FileEntry, collectors: Sequence[FileCollector]) -> Mapping[str, Facts] | None:
        """Return a file's facts by step, or None if they are not cached."""
        packed = self._known.get(entry.raw_path)
        if packed is None:
            return None
        schemas = {collector.metric.name: nullable(collector.facts_schema) for collector in collectors}
        return unpack(packed, {FILE_STEP: FILE_STEP_SCHEMA, **schemas})

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

    def get_states(self, collector: str) -> Sequence[bytes]:
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
    """Encode one entry."""
    packed: bytes = msgpack.packb([FORMAT, dict(facts)], use_bin_type=True, unicode_errors="surrogatepass")
    return packed


def unpack(packed: bytes, schemas: Mapping[str, Schema]) -> Mapping[str, Facts] | None:
    """Decode one entry: facts by step. Return None unless it holds exactly the steps of `schemas` and matches them."""
    try:
        entry: Any = msgpack.unpackb(packed, raw=False, unicode_errors="surrogatepass")
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException):
        return None
    if not isinstance(entry, list) or len(entry) != 2 or entry[0] != FORMAT or not isinstance(entry[1], dict):
        return None
    facts = entry[1]
    matched = facts.keys() == schemas.keys() and all(schemas[name].matches(value) for name, value in facts.items())
    return facts if matched else None
