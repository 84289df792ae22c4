"""ruff, run over files of a tree; a file that crashes or hangs ruff loses only its own diagnostics."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson
from ruff import find_ruff_bin  # type: ignore[import-untyped]

from collectors.source.source_tree import FileEntry, SourceTree
from collectors.tools.tool_process import ToolRun, run_tool
from domain.text import one_line

MAX_THREADS = 4
"""Each thread has a stack of its own, which counts as memory."""

STACK_BYTES = 64 * 1024 * 1024
"""Stack per thread. With its default stack, ruff overflows on an expression some thousand levels deep and aborts."""

SPLIT_COUNT = 8
"""Parts that a failed group is split into; a file that hangs costs one timeout per split until it is alone."""

OUTPUT_LIMIT_BYTES = 1024 * 1024 * 1024
RETRY_TIMEOUT_LIMIT_SECONDS = 30.0
"""A single file that timed out is retried with twice the timeout, up to this limit, after all other files."""

_WORKING_CHECK_TIMEOUT_SECONDS = 10
_ARGUMENTS_LIMIT_BYTES = 96 * 1024
"""Bytes of paths in one command line; every Linux allows 128 KiB."""


class RuffError(Exception):
    """ruff does not work on this machine; the text is one line."""


class Diagnostic(NamedTuple):
    """One diagnostic: the rule's code (`invalid-syntax` for a syntax error), the place, the message.

    Lines and columns count from 1, columns in code points; `end_column` is that after the last character.
    """

    code: str
    line: int
    column: int
    end_line: int
    end_column: int
    message: str


@dataclass(slots=True)
class RuffResult:
    """`diagnostics` by display path, and `failures`: why ruff has no diagnostics of a file, by display path."""

    diagnostics: dict[str, list[Diagnostic]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _GroupFailure:
    reason: str
    timed_out: bool = False


class RuffRunner:
    """Runner of `ruff check` with its default rules, without configuration and cache, from the tree's root.

    All runs together take at most `seconds`; files for which no time is left are failures.
    """

    def __init__(self, tree: SourceTree, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = Path(os.path.realpath(tree.root))  # ruff prints real paths
        self._entry_root = tree.root
        self._process_control = tree.process_control
        self._clock = clock
        self._seconds = seconds
        self._end = clock() + seconds
        self._known_to_work = False
        self._command = [find_ruff_bin(), "check", "--isolated", "--no-cache", "--no-respect-gitignore", "--no-fix"]

    def check(self, entries: Iterable[FileEntry], *, ignore_comments: bool = False) -> RuffResult:
        """Check these files; `ignore_comments` passes `--ignore-noqa`. Raises RuffError."""
        result = RuffResult()
        # Parts of failed groups are checked after all whole groups, so that slow files do not delay the others.
        pending = deque((group, _timeout(group)) for group in self._groups(entries))
        while pending:
            group, timeout = pending.popleft()
            failure = self._check_group(group, timeout, result, ignore_comments=ignore_comments)
            if failure is None:
                continue
            if len(group) > 1:
                pending += [(part, _timeout(part)) for part in _split(group)]
            elif failure.timed_out and 2 * timeout <= RETRY_TIMEOUT_LIMIT_SECONDS:
                pending.append((group, 2 * timeout))
            else:
                result.failures[group[0].path] = failure.reason
        return result

    def _groups(self, entries: Iterable[FileEntry]) -> Iterator[list[FileEntry]]:
        """Yield as many files as fit on a command line. ruff garbles a name that is not UTF-8, so it is on its own."""
        group: list[FileEntry] = []
        size = 0
        for entry in entries:
            name = os.fsencode(self._argument(entry))
            if not _is_utf_8(name):
                yield [entry]
                continue
            if group and size + len(name) > _ARGUMENTS_LIMIT_BYTES:
                yield group
                group, size = [], 0
            group.append(entry)
            size += len(name) + 9  # its terminating zero and its pointer
        if group:
            yield group

    def _argument(self, entry: FileEntry) -> str:
        # Without `./` a name could be an option (`-x.py`) or a file with arguments (`@x.py`).
        return f"./{entry.location.relative_to(self._entry_root)}"

    def _check_group(
        self, group: Sequence[FileEntry], timeout: float, result: RuffResult, *, ignore_comments: bool
    ) -> _GroupFailure | None:
        """Add the group's diagnostics to the result, or return why there are none."""
        remaining = self._end - self._clock()
        if remaining <= 0:
            return _GroupFailure(f"no time left of the {self._seconds:g} s for all files")
        parser = _OutputParser({f"{self._root}/{self._argument(entry)[2:]}": entry.path for entry in group})
        options = ["--output-format=json-lines", *(["--ignore-noqa"] if ignore_comments else [])]
        try:
            arguments = [*options, "--", *map(self._argument, group)]
            run = self._run(arguments, min(remaining, timeout), parser.on_line, files=len(group))
        except (ValueError, KeyError, TypeError):
            return _GroupFailure("ruff's output is not the expected JSON")
        if run.failure is not None or run.exit_code not in (0, 1):
            self._require_working()
            return _GroupFailure(run.failure or one_line(f"ruff failed: {run.stderr}", 200), run.timed_out)
        if (run.exit_code == 1) != any(parser.diagnostics.values()):
            return _GroupFailure("ruff's exit code contradicts its output")
        result.diagnostics.update(parser.diagnostics)
        return None

    def _run(
        self, arguments: Sequence[str], timeout: float, on_line: Callable[[bytes], None], *, files: int = 1
    ) -> ToolRun:
        threads = min(MAX_THREADS, files, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
        environment = {
            "LC_ALL": "C.UTF-8",
            "NO_COLOR": "1",
            "RAYON_NUM_THREADS": str(threads),
            "RUST_MIN_STACK": str(STACK_BYTES),
        }
        try:
            return run_tool(
                [*self._command, *arguments],
                cwd=self._root,
                process_control=self._process_control,
                environment=environment,
                timeout=timeout,
                output_limit=OUTPUT_LIMIT_BYTES,
                on_line=on_line,
            )
        except OSError as error:
            raise RuffError(one_line(f"ruff cannot be started: {error}", 200)) from error

    def _require_working(self) -> None:
        """Raise RuffError if ruff fails on empty input too: then no file is the cause."""
        if self._known_to_work:
            return
        run = self._run(["-"], _WORKING_CHECK_TIMEOUT_SECONDS, lambda _: None)
        if run.exit_code != 0:
            raise RuffError(one_line(f"ruff does not work: {run.failure or run.stderr}", 200))
        self._known_to_work = True


class _OutputParser:
    """Parser of ruff's JSON lines, by file. `paths` maps the names that ruff prints to display paths."""

    def __init__(self, paths: dict[str, str]) -> None:
        self.diagnostics: dict[str, list[Diagnostic]] = {path: [] for path in paths.values()}
        self._paths = paths
        # ruff garbles a name that is not UTF-8; such a file is checked on its own, so its name is not needed.
        self._only_path = next(iter(paths.values())) if len(paths) == 1 else None
        self._messages: dict[str, str] = {}

    def on_line(self, line: bytes) -> None:
        """Add one diagnostic. Raises ValueError, KeyError or TypeError where the line is not the expected JSON."""
        item = orjson.loads(line)
        path = self._paths[item["filename"]] if self._only_path is None else self._only_path
        text, start, end = item["message"], item["location"], item["end_location"]
        message = self._messages.get(text)
        if message is None:  # ruff repeats a few texts up to a hundred thousand times
            message = self._messages[text] = one_line(text)
        code = sys.intern(str(item["code"] or "invalid-syntax"))
        place = (int(start["row"]), int(start["column"]), int(end["row"]), int(end["column"]))
        self.diagnostics[path].append(Diagnostic(code, *place, message))


def _split(group: list[FileEntry]) -> Iterator[list[FileEntry]]:
    size = -(-len(group) // SPLIT_COUNT)
    for start in range(0, len(group), size):
        yield group[start : start + size]


def _timeout(group: Iterable[FileEntry]) -> float:
    """Return seconds: several times what ruff needs on a busy machine, yet short if a few files hang."""
    return 5.0 + sum(entry.size for entry in group) / 4e6


def _is_utf_8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
