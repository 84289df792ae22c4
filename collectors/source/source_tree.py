"""One read, one decoding, one parse and one token pass a file, shared by all collectors."""

import ast
import io
import os
import stat
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from collectors.source.line_counts import LineCounts, count_lines, count_lines_by_tokens
from collectors.source.radon_measures import RadonMeasures, compute_radon_measures
from collectors.source.scopes import Scope, find_scopes
from collectors.source.syntax_walk import SyntaxNodes, walk_syntax_tree
from domain.ports import History
from domain.text import one_line, printable

TOO_DEEP = "nested too deeply for the parser"
"""Or out of memory, which the parser does not tell apart."""


class UnparsableError(Exception):
    """The running Python's grammar does not accept the file, or its bytes are not the text that they claim to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One `.py` file of the tree: its display path (relative, `/`, printable), its name, where it lies, its bytes.

    `raw_path` is the relative path as it lies on disk, which need not be UTF-8.
    """

    path: str
    raw_path: bytes
    location: Path
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTree:
    """The scratch tree as collectors see it.

    `root` holds exactly the `.py` files to analyse, with their names and executable bits; `manifests` holds the
    files that may declare dependencies, by the same relative paths; `history` is None without git history.
    """

    root: Path
    entries: tuple[FileEntry, ...]
    manifests: Path | None = None
    history: History | None = None


class SourceFile:
    """A file with everything that can be made of its bytes, each made once, on first use."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.data = data

    @cached_property
    def text(self) -> str:
        """The decoded source, line ends made newlines, without a BOM, as `tokenize.open` reads it.

        Raises UnparsableError where the bytes do not fit their declared encoding.
        """
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(self.data).readline)
            with io.TextIOWrapper(io.BytesIO(self.data), encoding) as reader:
                return reader.read()
        except (SyntaxError, UnicodeError, LookupError) as error:
            raise UnparsableError(one_line(f"not decodable: {error}", 200)) from error

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree of `text`. Raises UnparsableError; collectors must not change nodes others read."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(self.text)
        except (SyntaxError, ValueError) as error:
            raise UnparsableError(_explain(error)) from error
        except (RecursionError, MemoryError) as error:
            raise UnparsableError(TOO_DEEP) from error

    @cached_property
    def nodes(self) -> SyntaxNodes:
        """The nodes of `tree`. Raises UnparsableError."""
        return walk_syntax_tree(self.tree)

    @cached_property
    def scopes(self) -> list[Scope]:
        """Every function and class with its lines. Raises UnparsableError."""
        return find_scopes(self.nodes)

    @cached_property
    def tokens(self) -> list[tokenize.TokenInfo]:
        """The tokens of `text`. Raises UnparsableError where the tokenizer does not get through."""
        try:
            return list(tokenize.generate_tokens(io.StringIO(self.text).readline))
        except (SyntaxError, tokenize.TokenError, IndentationError) as error:
            raise UnparsableError(_explain(error)) from error

    @cached_property
    def line_counts(self) -> LineCounts:
        """Lines of each kind, as `radon raw` counts them, also of a file that does not parse.

        Raises UnparsableError for one that radon does not get through either.
        """
        text = self.text if self.data.isascii() else self._text_as_utf_8()
        try:
            return count_lines(text) if self.parse_error is None else count_lines_by_tokens(text.splitlines())
        except (SyntaxError, tokenize.TokenError) as error:
            raise UnparsableError(_explain(error)) from error

    def _text_as_utf_8(self) -> str:
        """As radon decodes every file, whatever it declares; as it declares where it is no UTF-8."""
        try:
            with io.TextIOWrapper(io.BytesIO(self.data), "utf-8-sig") as reader:
                return reader.read()
        except UnicodeError:
            return self.text

    @cached_property
    def radon_measures(self) -> RadonMeasures:
        """Cyclomatic complexity and Halstead's volume, by radon's rules. Raises UnparsableError."""
        return compute_radon_measures(self.tree)

    @cached_property
    def parse_error(self) -> str | None:
        """Why the file does not parse, in one line; None where it does."""
        try:
            self.tree  # noqa: B018 - parsing is the question
        except UnparsableError as error:
            return str(error)
        return None


def _explain(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        place = f" (line {error.lineno})" if error.lineno else ""
        return one_line(f"{type(error).__name__}: {error.msg}{place}", 200)
    return one_line(f"{type(error).__name__}: {error}", 200)


def load_tree(root: Path, *, manifests: Path | None = None, history: History | None = None) -> SourceTree:
    """The tree as it lies under `root`, entries sorted by display path; symlinks are not followed and not listed."""
    entries = sorted(_entries(os.fsencode(root)), key=lambda entry: entry.path)
    return SourceTree(root=root, entries=tuple(entries), manifests=manifests, history=history)


def _entries(root: bytes) -> Iterator[FileEntry]:
    for directory, _, names in os.walk(root):
        for name in names:
            location = directory + b"/" + name
            status = os.lstat(location)
            if stat.S_ISLNK(status.st_mode):
                continue
            relative = location[len(root) + 1 :]
            yield FileEntry(
                path=printable(os.fsdecode(relative)),
                raw_path=relative,
                location=Path(os.fsdecode(location)),
                size=status.st_size,
            )
