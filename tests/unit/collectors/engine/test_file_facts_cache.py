"""The cache of facts: only valid entries are used, and a process can write only the entries of its own files."""

import fcntl
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.contract import FileCollector, Totals
from collectors.engine import analysis as engine
from collectors.engine import units
from collectors.engine.analysis import Options, analyse
from collectors.engine.file_facts_cache import FORMAT, FileFactsCache, pack, unpack
from collectors.engine.pool.pool_process import encode_message
from collectors.schemas import Schema, counts, single
from collectors.source.source_tree import SourceFile, SourceTree
from domain.findings.identity import content_digest
from domain.metrics.declaration import MetricDeclaration
from domain.metrics.report import Analysis, Report
from domain.sources import FetchedSource
from tests.unit.collectors.declare import declare
from tests.unit.collectors.source_trees import load_tree

SCHEMAS = {"": single(lambda _: True), "names": single(counts)}

FILE = [None, 1, "0123456789abcdef", False]


class Names:
    """Counts statements."""

    metric: ClassVar[MetricDeclaration] = declare("names", "total")
    needs_syntax: ClassVar[bool] = True
    facts_schema: ClassVar[Schema] = single(counts)

    def inspect(self, file: SourceFile) -> Any:
        return len(file.tree.body)

    def summarize(self, facts: Mapping[str, Any], totals: Totals) -> Report:
        return Report(aggregate={"total": sum(facts.values())})


def tree_of(root: Path, files: Mapping[str, str]) -> SourceTree:
    for name, text in files.items():
        (root / name).write_text(text)
    return load_tree(root)


def run(
    monkeypatch: pytest.MonkeyPatch,
    tree: SourceTree,
    cache: FileFactsCache,
    collectors: Sequence[FileCollector] = (Names(),),
) -> Analysis:
    monkeypatch.setattr(engine, "discover", lambda: tuple(collectors))
    return analyse(tree, FetchedSource(has_history=False), Options(processes=3, collector_timeout=20), cache=cache)


def test_cached_file_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tree_of(tmp_path, {"a.py": "x = 1\n", "b.py": "y = 2\nz = 3\n"})
    known = FileFactsCache({b"a.py": pack({"": FILE, "names": 41})})
    (tmp_path / "a.py").rename(tmp_path / "away")
    analysis = run(monkeypatch, tree, known)
    assert analysis.metrics["names"] == {"total": 43}
    assert analysis.errors == []
    assert set(known.new_entries) == {b"b.py"}
    assert unpack(known.new_entries[b"b.py"], SCHEMAS) == {
        "": [None, 2, content_digest(b"y = 2\nz = 3\n"), False],
        "names": 2,
    }


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"\x00garbage",
        b"\xc1",
        b"\x91" * 5000,
        b"\xdd\xff\xff\xff\xff",
        pack({"": FILE, "names": 41})[:-1],
        pack({"": FILE, "names": 41}) + b"\x00",
        pack({"": FILE, "names": "41"}),
        pack({"": FILE, "names": -1}),
        pack({"": FILE, "names": 1 << 40}),
        pack({"": FILE}),
        pack({"": FILE, "names": 41, "more": 1}),
        pack({"": None, "names": 41}),
        pack({"": [None], "names": 41}),
        pack({"": [None, 1], "names": 41}),
        pack({"": [7, *FILE[1:]], "names": 41}),
        pack({"": [*FILE[:2], None, False], "names": 41}),
        msgpack.packb([FORMAT + 1, {"": FILE, "names": 41}]),
        msgpack.packb([FORMAT, {"": FILE, b"names": 41}]),
        msgpack.packb([FORMAT, {"": FILE, 5: 41}]),
        msgpack.packb([FORMAT, {"": FILE, "names": msgpack.ExtType(4, b"x")}]),
        msgpack.packb({"": FILE}),
    ],
)
def test_file_with_an_invalid_cache_entry_is_inspected_again(
    entry: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FileFactsCache({b"a.py": entry})
    analysis = run(monkeypatch, tree_of(tmp_path, {"a.py": "x = 1\n"}), cache)
    assert analysis.metrics["names"] == {"total": 1}
    assert set(cache.new_entries) == {b"a.py"}


def test_findings_are_reported_once_where_cached_facts_turn_out_to_be_invalid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "discover", lambda: (Names(),))
    tree = tree_of(tmp_path, {"a.py": "x = 1\n", "b.py": "y = 2\nz = 3\n"})
    cache = FileFactsCache({b"a.py": pack({"": FILE, "names": -1}), b"b.py": pack({"": FILE, "names": 41})})
    parts: list[Any] = []
    options = Options(processes=2, collector_timeout=20, on_findings=parts.append)
    analysis = analyse(tree, FetchedSource(has_history=False), options, cache=cache)
    assert analysis.metrics["names"] == {"total": 3}
    assert analysis.errors == []
    assert parts == [[]]
    assert set(cache.new_entries) == {b"a.py", b"b.py"}


@given(st.binary(max_size=64))
def test_unpacking_random_bytes_does_not_raise(entry: bytes) -> None:
    assert unpack(entry, SCHEMAS) is None


def test_failures_are_not_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(Names):
        def inspect(self, file: SourceFile) -> Any:
            raise MemoryError

    cache = FileFactsCache({})
    run(monkeypatch, tree_of(tmp_path, {"a.py": "x = 1\n"}), cache, [Failing()])
    assert cache.new_entries == {}


def own_answers() -> int:
    """Return where a pool process writes its answers. Nothing else is open but the pipe of its requests."""
    listed = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
    opened = [number for number in listed - {0, 1, 2} if Path(f"/proc/self/fd/{number}").exists()]
    assert all(stat.S_ISFIFO(os.fstat(number).st_mode) for number in opened)
    _requests, answers = sorted(opened, key=lambda number: fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE)
    return answers


@pytest.mark.parametrize("forged", ["index", "step"])
def test_answer_for_a_unit_or_step_of_another_process_is_refused(
    forged: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "BYTES_PER_PROCESS", 16)  # one file for each process
    texts = {"bad.py": "x = 1\n" * 3, "b.py": "x = 1\n" * 2, "c.py": "x = 1\n"}

    class Forger(Names):
        def inspect(self, file: SourceFile) -> Any:
            if file.path == "bad.py":
                answer = {"": FILE, "names": 1000} if forged == "index" else {"": FILE, "other": 1000}
                message = [2 if forged == "index" else 0, answer, {}, {}]
                os.write(own_answers(), encode_message(message))
            return super().inspect(file)

    cache = FileFactsCache({})
    analysis = run(monkeypatch, tree_of(tmp_path, texts), cache, [Forger()])
    assert analysis.metrics["names"] == {"total": 3}  # b.py and c.py; the forger's own file fails
    [line] = analysis.errors
    assert line.startswith("bad.py: ")
    assert line.endswith(": crashed (SIGKILL)")
    assert set(cache.new_entries) == {b"b.py", b"c.py"}
    assert unpack(cache.new_entries[b"c.py"], SCHEMAS) == {"": [None, 1, content_digest(b"x = 1\n"), False], "names": 1}
