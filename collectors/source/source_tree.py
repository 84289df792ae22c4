"""The tree of source files; each file is read, decoded, parsed and tokenized once for all collectors."""

import ast
import codecs
import io
import os
import re
import stat
import sys
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from collectors.source.line_counts import BYTE_ORDER_MARK_COUNTS, LineCounts, count_lines, count_lines_by_tokens
from collectors.source.newer_syntax import needed_version
from collectors.source.radon_measures import RadonMeasures, compute_radon_measures
from collectors.source.scopes import Scope, find_scopes
from collectors.source.source_lines import SourceLines
from collectors.source.syntax_walk import SyntaxNodes, walk_syntax_tree
from collectors.source.tokens import generate_tokens
from domain.ports import History, ProcessControl
from domain.selection import ALL, Selection
from domain.text import one_line, printable_name

_ENCODING_DECLARATION = re.compile(rb"(?:[^\r\n]*+(?:\r\n?|\n))??[^\r\n]*?coding[=:]")
"""An encoding in the first two lines; it may also be only similar to one."""

TOO_DEEP = "nested too deeply for the parser"
"""Also reported when the parser runs out of memory; the two cases cannot be distinguished."""


class UnparsableError(Exception):
    """The running Python's grammar rejects the file, or its bytes do not match its declared encoding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of the tree.

    `path` is relative, with `/`, and printable, for display. `raw_path` is the relative path as stored on disk, which
    need not be UTF-8. `location` is where to open the file; `size` is in bytes.
    """

    path: str
    raw_path: bytes
    location: Path
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTree:
    """The source tree that collectors analyse.

    `root` holds exactly the `.py` files to analyse, with their names and executable bits. `manifests` is a directory
    with the files that may declare dependencies, under the same relative paths. `history` is None without git history.
    `process_control` ties the processes that an analysis starts to the one that starts them. `other_modules` are the
    display paths of modules that are not analysed, such as extension modules; `root` has placeholders for them.
    `selection` says which collectors are requested, and chose the files.
    """

    root: Path
    entries: tuple[FileEntry, ...]
    process_control: ProcessControl
    manifests: Path | None = None
    history: History | None = None
    other_modules: tuple[str, ...] = ()
    selection: Selection = ALL


class SourceFile:
    """A file and everything that is derived from its bytes. Each property is computed once, on first use."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.data = data

    @cached_property
    def lines(self) -> SourceLines:
        """The hashes of the file's lines."""
        return SourceLines(self.data)

    @cached_property
    def text(self) -> str:
        r"""The source as `tokenize.open` decodes it: without a BOM, every line break as `\n`.

        Raises UnparsableError where the bytes do not match the declared encoding.
        """
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(self.data).readline)
            with io.TextIOWrapper(io.BytesIO(self.data), encoding) as reader:
                return reader.read()
        except (SyntaxError, UnicodeError, LookupError) as error:
            raise UnparsableError(one_line(f"not decodable: {error}", 200)) from error

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree of `text`. Collectors share it and must not change it. Raises UnparsableError."""
        return _parse(self.text)

    @cached_property
    def utf_8_text(self) -> str:
        """The source decoded as UTF-8 whatever it declares, as radon and docstr-coverage do; if that fails, `text`.

        Raises UnparsableError where both fail.
        """
        if self.data.isascii() and not _ENCODING_DECLARATION.match(self.data):
            return self.text
        try:
            with io.TextIOWrapper(io.BytesIO(self.data), "utf-8-sig") as reader:
                return reader.read()
        except UnicodeError:
            return self.text

    @cached_property
    def utf_8_lines(self) -> Sequence[str]:
        """The lines of `utf_8_text`. Raises UnparsableError."""
        return self.utf_8_text.split("\n")

    @cached_property
    def utf_8_tree(self) -> ast.Module:
        """The syntax tree of `utf_8_text`, which is `tree` for nearly all files. Raises UnparsableError."""
        parsed = self._parsed_as_utf_8
        if isinstance(parsed, str):
            raise UnparsableError(parsed)
        return parsed

    @cached_property
    def _parsed_as_utf_8(self) -> ast.Module | str:
        """The tree, or why there is none: several collectors ask for it."""
        try:
            text = self.utf_8_text
            return (self.parse_error or self.tree) if self._decodes_to(text) else _parse(text)
        except UnparsableError as error:
            return str(error)

    def _decodes_to(self, text: str) -> bool:
        try:
            return text == self.text
        except UnparsableError:
            return False

    @cached_property
    def nodes(self) -> SyntaxNodes:
        """The nodes of `tree`. Raises UnparsableError."""
        return walk_syntax_tree(self.tree)

    @cached_property
    def scopes(self) -> list[Scope]:
        """Every function and class with its lines, outer before inner. Raises UnparsableError."""
        return find_scopes(self.nodes)

    @cached_property
    def tokens(self) -> list[tokenize.TokenInfo]:
        """The tokens of `utf_8_text`. Raises UnparsableError where the tokenizer fails."""
        try:
            return list(generate_tokens(self.utf_8_text))
        except (SyntaxError, tokenize.TokenError, IndentationError) as error:
            raise UnparsableError(_describe(error)) from error

    @cached_property
    def line_counts(self) -> LineCounts:
        """The counts of `radon raw`, also for a file that does not parse.

        Raises UnparsableError for a file that does not parse and that radon cannot tokenize either.
        """
        text = self.utf_8_text
        if BYTE_ORDER_MARK_COUNTS and self.data.startswith(codecs.BOM_UTF8):
            text = "\ufeff" + text  # radon keeps it
        try:
            return count_lines(text) if self.parse_error is None else count_lines_by_tokens(text.splitlines())
        except (SyntaxError, tokenize.TokenError) as error:
            raise UnparsableError(_describe(error)) from error

    @cached_property
    def radon_measures(self) -> RadonMeasures:
        """Cyclomatic complexity and Halstead volume by radon's rules. Raises UnparsableError."""
        return compute_radon_measures(self.utf_8_tree)

    @cached_property
    def parse_error(self) -> str | None:
        """Why the file does not parse, in one line; None where it parses."""
        try:
            self.tree  # noqa: B018 - parses the file
        except UnparsableError as error:
            return str(error)
        return None


def _parse(text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise UnparsableError(_describe(error)) from error
    except (RecursionError, MemoryError) as error:
        raise UnparsableError(TOO_DEEP) from error


def _describe(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        line = f" (line {error.lineno})" if error.lineno else ""
        running = (sys.version_info[0], sys.version_info[1])
        needed = needed_version(error, running)
        if needed is not None:
            versions = "newer than Python {}.{}: this needs Python {}.{}".format(*running, *needed)
            return f"SyntaxError: {versions}{line}"
        return one_line(f"{type(error).__name__}: {error.msg}{line}", 200)
    return one_line(f"{type(error).__name__}: {error}", 200)


def load_tree(
    root: Path,
    *,
    process_control: ProcessControl,
    manifests: Path | None = None,
    history: History | None = None,
    selection: Selection = ALL,
) -> SourceTree:
    """List the files below `root`, sorted by display path. Symbolic links are neither followed nor listed.

    A file without any permission is a placeholder for one that is not analysed.
    """
    entries: list[FileEntry] = []
    other_modules: list[str] = []
    for entry, is_placeholder in _files(os.fsencode(root)):
        if is_placeholder:
            other_modules.append(entry.path)
        else:
            entries.append(entry)
    entries.sort(key=lambda entry: entry.path)
    return SourceTree(
        root=root,
        entries=tuple(entries),
        process_control=process_control,
        manifests=manifests,
        history=history,
        other_modules=tuple(sorted(other_modules)),
        selection=selection,
    )


def _files(root: bytes) -> Iterator[tuple[FileEntry, bool]]:
    for directory, _, names in os.walk(root):
        for name in names:
            location = directory + b"/" + name
            status = os.lstat(location)
            if stat.S_ISLNK(status.st_mode):
                continue
            raw_path = location[len(root) + 1 :]
            entry = FileEntry(
                path=printable_name(os.fsdecode(raw_path)),
                raw_path=raw_path,
                location=Path(os.fsdecode(location)),
                size=status.st_size,
            )
            yield entry, not stat.S_IMODE(status.st_mode)
