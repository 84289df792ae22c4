"""Ask ruff about files of a tree, so that a file that ruff does not survive costs itself and nothing else."""

import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ruff import find_ruff_bin  # type: ignore[import-untyped]

from collectors.source.source_tree import FileEntry, SourceTree
from collectors.tools.tool_process import TIMED_OUT, ToolRun, run_tool
from domain.text import one_line

MAX_THREADS = 4
"""At most; each has a stack of its own, which counts as memory."""

STACK_BYTES = 64 * 1024 * 1024
"""An expression some thousand deep overflows ruff's usual stack, and ruff aborts without a word about any file."""

SPLIT_COUNT = 8
"""Into how many a lost group is divided: a file that hangs costs a deadline for each division until it is alone."""

OUTPUT_LIMIT_BYTES = 1024 * 1024 * 1024
RETRY_TIMEOUT_LIMIT_SECONDS = 30.0
"""At most, for a file that took too long alone and is asked about again when all others have had their turn."""

_ARGUMENTS_LIMIT = 96 * 1024
"""Bytes of paths in one command line; every Linux allows 128 KiB."""


class RuffError(Exception):
    """ruff does not work here at all; the text is one line."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One line of ruff's output: the rule's code (`invalid-syntax` where it is none), the place, the message."""

    code: str
    line: int
    column: int
    message: str


@dataclass(slots=True)
class RuffResult:
    """Display path to what ruff says of that file, and, for the files that it was lost on, to why."""

    diagnostics: dict[str, list[Diagnostic]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


class RuffRunner:
    """`ruff check` with its default rules, no configuration, no cache, from the tree's root.

    All its runs together take at most `seconds`; files that there is no time for count as lost.
    """

    def __init__(self, tree: SourceTree, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = Path(os.path.realpath(tree.root))  # as ruff names it
        self._entry_root = tree.root
        self._clock = clock
        self._end = clock() + seconds
        self._known_to_work = False
        self._command = [find_ruff_bin(), "check", "--isolated", "--no-cache", "--no-respect-gitignore", "--no-fix"]

    def check(self, entries: Iterable[FileEntry], *, ignore_comments: bool = False) -> RuffResult:
        """Ask about these files; with `ignore_comments` as if there were no `noqa` in them. Raises RuffError."""
        answers = RuffResult()
        # Parts of lost groups wait until all whole groups are done, so that what takes long keeps nobody waiting.
        pending = deque((group, _deadline(group)) for group in self._groups(entries))
        while pending:
            group, deadline = pending.popleft()
            lost = self._ask(group, deadline, answers, ignore_comments=ignore_comments)
            if lost is not None and len(group) > 1:
                pending += [(part, _deadline(part)) for part in _divide(group)]
            elif lost == TIMED_OUT and 2 * deadline <= RETRY_TIMEOUT_LIMIT_SECONDS:
                pending.append((group, 2 * deadline))
            elif lost is not None:
                answers.failures[group[0].path] = lost
        return answers

    def _groups(self, entries: Iterable[FileEntry]) -> Iterator[list[FileEntry]]:
        """As many files at once as a command line holds; a name that is not UTF-8 alone, since ruff garbles it."""
        group: list[FileEntry] = []
        size = 0
        for entry in entries:
            name = os.fsencode(self._argument(entry))
            if not _is_utf_8(name):
                yield [entry]
                continue
            if group and size + len(name) > _ARGUMENTS_LIMIT:
                yield group
                group, size = [], 0
            group.append(entry)
            size += len(name) + 9  # its end and its pointer
        if group:
            yield group

    def _argument(self, entry: FileEntry) -> str:
        # The dot keeps a name from being an option (`-x.py`) or a list of arguments (`@x.py`).
        return f"./{entry.location.relative_to(self._entry_root)}"

    def _ask(
        self, group: Sequence[FileEntry], deadline: float, answers: RuffResult, *, ignore_comments: bool
    ) -> str | None:
        """Add what ruff says of the group to the answers, or say why there is no telling."""
        left = self._end - self._clock()
        if left <= 0:
            return "no time left"
        hearer = _Hearer({f"{self._root}/{self._argument(entry)[2:]}": entry.path for entry in group})
        options = ["--output-format=json-lines", *(["--ignore-noqa"] if ignore_comments else [])]
        try:
            arguments = [*options, "--", *map(self._argument, group)]
            run = self._run(arguments, min(left, deadline), hearer.hear, files=len(group))
        except (ValueError, KeyError, TypeError):
            return "said what cannot be read"
        if run.failure is not None or run.exit_code not in (0, 1):
            self._require_working()
            return run.failure or one_line(f"ruff failed: {run.stderr}", 200)
        if (run.exit_code == 1) != any(hearer.diagnostics.values()):
            return "said what its exit code denies"
        answers.diagnostics.update(hearer.diagnostics)
        return None

    def _run(
        self, arguments: Sequence[str], deadline: float, on_line: Callable[[bytes], None], *, files: int = 1
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
                environment=environment,
                timeout=deadline,
                output_limit=OUTPUT_LIMIT_BYTES,
                on_line=on_line,
            )
        except OSError as error:
            raise RuffError(one_line(f"ruff cannot be started: {error}", 200)) from error

    def _require_working(self) -> None:
        """Raise RuffError where ruff fails on nothing, too: then it is no file's fault."""
        if self._known_to_work:
            return
        run = self._run(["-"], 10, lambda _: None)
        if run.exit_code != 0:
            raise RuffError(one_line(f"ruff does not work: {run.failure or run.stderr}", 200))
        self._known_to_work = True


class _Hearer:
    """Sorts ruff's lines by file; `paths` maps the names that it gives to display paths."""

    def __init__(self, paths: dict[str, str]) -> None:
        self.diagnostics: dict[str, list[Diagnostic]] = {path: [] for path in paths.values()}
        self._paths = paths
        # ruff garbles a name that is not UTF-8; where there is one file there is no doubt which.
        self._only = next(iter(paths.values())) if len(paths) == 1 else None
        self._messages: dict[str, str] = {}

    def hear(self, line: bytes) -> None:
        """Take one line. Raises ValueError, KeyError or TypeError where it is not to be understood."""
        item = json.loads(line)
        path = self._paths[item["filename"]] if self._only is None else self._only
        text, place = item["message"], item["location"]
        message = self._messages.get(text)
        if message is None:  # the same few texts come a hundred thousand times
            message = self._messages[text] = one_line(text)
        code = sys.intern(str(item["code"] or "invalid-syntax"))
        self.diagnostics[path].append(Diagnostic(code, int(place["row"]), int(place["column"]), message))


def _divide(group: list[FileEntry]) -> Iterator[list[FileEntry]]:
    size = -(-len(group) // SPLIT_COUNT)
    for start in range(0, len(group), size):
        yield group[start : start + size]


def _deadline(group: Iterable[FileEntry]) -> float:
    """Seconds: several times what ruff needs on a busy machine, and little enough for a few files that hang."""
    return 5.0 + sum(entry.size for entry in group) / 4e6


def _is_utf_8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
