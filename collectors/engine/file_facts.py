"""What earlier runs have found out about files, and what this run finds out for later ones.

An optimisation and nothing else: a file whose facts are remembered is not read or parsed, and every number is the
same. The facts of one file are one entry, which depends on nothing but the file's bytes and path and on the code that
looked at them; whoever keeps entries must know all of these again (see `worker.analysis.source_facts`). What comes
back is believed
only if it decodes, is of this format, and has the shape that each collector declares; otherwise the file is inspected
as if nothing were known.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgpack

from collectors.contract import Facts, FileCollector
from collectors.engine.steps import UnitResult
from collectors.schemas import Shape, counts_or_none, or_none, row, texts_or_none
from collectors.source.source_tree import TOO_DEEP, FileEntry

FORMAT = 1
"""To be counted up when entries are laid out differently."""

ENTRY_BYTES = 2 << 20
"""The most that is remembered of one file."""

BASE = ""
"""The step that every file takes first: `[parse error or None, source lines or None]`."""

_BASE_SHAPE = row(texts_or_none, counts_or_none)


class Memory:
    """Entries by a file's name: its relative path, in bytes as it lies on disk."""

    def __init__(self, known: Mapping[bytes, bytes]) -> None:
        self._known = known
        self.learned: dict[bytes, bytes] = {}
        """What was not known before, or was not to be believed."""

    def recall(self, entry: FileEntry, collectors: Sequence[FileCollector]) -> Mapping[str, Facts] | None:
        """The facts of a file by step; None where they have to be found."""
        packed = self._known.get(entry.raw_path)
        if packed is None:
            return None
        shapes = {BASE: _BASE_SHAPE, **{collector.name: or_none(collector.shape) for collector in collectors}}
        return unpack(packed, shapes)

    def states(self, collector: str) -> Sequence[bytes]:
        """What earlier runs left for a collector that takes the tree whole, under its name."""
        return [packed for name, packed in self._known.items() if name.rstrip(b"/") == state_name(collector)]

    def leave(self, collector: str, state: bytes) -> None:
        """Leave something for the collector's next run."""
        self.learned[state_name(collector)] = state

    def learn(self, entry: FileEntry, result: UnitResult) -> None:
        """Remember what was found of a file, unless something went wrong, which may not happen again."""
        if result.failures or BASE not in result.values or result.values[BASE][0] == TOO_DEEP:
            return
        self._keep(entry.raw_path, result.values)

    def recall_answers(self, collector: Any, entries: Sequence[FileEntry]) -> dict[str, Facts]:
        """By path: what a tool said of files while every name and mode of the tree was as it is now."""
        shapes = {collector.name: collector.answer_shape}
        found = ((entry.path, self._known.get(_place(entry))) for entry in entries)
        answers = ((path, packed and unpack(packed, shapes)) for path, packed in found)
        return {path: answer[collector.name] for path, answer in answers if answer}

    def learn_answers(self, collector: Any, entries: Sequence[FileEntry], answers: Mapping[str, Facts]) -> None:
        """Remember these, those left out that have not the shape of an answer: the tool did not get through."""
        for entry in entries:
            answer = answers.get(entry.path)
            if collector.answer_shape.holds(answer):
                self._keep(_place(entry), {collector.name: answer})

    def _keep(self, name: bytes, facts: Mapping[str, Facts]) -> None:
        packed = pack(facts)
        if len(packed) <= ENTRY_BYTES:
            self.learned[name] = packed


def _place(entry: FileEntry) -> bytes:
    """The name of an entry that depends on more than the file; no file's relative path ends like this."""
    return entry.raw_path + b"/"


def state_name(collector: str) -> bytes:
    """No file's relative path begins like this; further states of the same collector have slashes behind it."""
    return b"/" + collector.encode()


def pack(facts: Mapping[str, Facts]) -> bytes:
    """One entry."""
    packed: bytes = msgpack.packb([FORMAT, dict(facts)], use_bin_type=True, unicode_errors="surrogatepass")
    return packed


def unpack(packed: bytes, shapes: Mapping[str, Shape]) -> Mapping[str, Facts] | None:
    """The inverse: facts by step, exactly those that have a shape; None for anything else."""
    try:
        entry: Any = msgpack.unpackb(packed, raw=False, unicode_errors="surrogatepass")
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException):
        return None
    if not isinstance(entry, list) or len(entry) != 2 or entry[0] != FORMAT or not isinstance(entry[1], dict):
        return None
    facts = entry[1]
    held = facts.keys() == shapes.keys() and all(shapes[name].holds(value) for name, value in facts.items())
    return facts if held else None
