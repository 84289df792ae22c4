"""Manifests: which projects an evaluation compares, as CSV or TOML. Each error is one line that names its line."""

import csv
import posixpath
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from domain.errors import InvalidInputError
from domain.evaluations.authors import (
    MAX_DESCRIPTION_LENGTH,
    MAX_NAME_LENGTH,
    MAX_PROJECTS,
    MAX_SOURCE_LENGTH,
    MAX_WORD_LENGTH,
    Author,
    check_authors,
    checked_text,
)
from domain.findings.baseline import Project
from domain.text import JSON, one_line

MAX_MANIFEST_BYTES = 1_000_000
COLUMNS = ("source", "author_type", "author_model", "task")
REQUIRED = ("source", "author_type")
HEADER_KEYS = ("name", "description", "dataset")
ITEMS = "items"

_ITEM_LINE = re.compile(r"\s*\[\[\s*\"?items\"?\s*\]\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestItem:
    """A project: a path or URL, its declared author, and its task (empty for none). `line` counts from 1."""

    source: str
    author: Author
    task: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a manifest says. A CSV file has items only."""

    items: Sequence[ManifestItem]
    name: str = ""
    description: str = ""
    dataset: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    line: int
    values: Mapping[str, JSON]


def parse_manifest(data: bytes, filename: str) -> Manifest:
    """Read a manifest; its format follows from the file's name, `.toml` or `.csv`. Raises InvalidInputError."""
    suffix = posixpath.splitext(filename.lower())[1]
    if suffix not in (".csv", ".toml"):
        raise InvalidInputError("a manifest is a .csv or a .toml file")
    if len(data) > MAX_MANIFEST_BYTES:
        raise InvalidInputError(f"the manifest has {len(data)} bytes; it may have {MAX_MANIFEST_BYTES}")
    text = _decoded(data)
    header, rows = ({}, _csv_rows(text)) if suffix == ".csv" else _toml_rows(text)
    read = list(rows)
    if len(read) > MAX_PROJECTS:
        raise InvalidInputError(f"the manifest has {len(read)} projects; an evaluation may have {MAX_PROJECTS}")
    items = [_at_line(row) for row in read]
    _refuse_duplicates(items)
    check_authors(item.author for item in items)
    return Manifest(items=items, **header)


def _decoded(data: bytes) -> str:
    """Return the text without a byte order mark, which spreadsheets write in front of UTF-8."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidInputError(f"line {line}: byte {data[error.start]:#04x} is not UTF-8; save it as UTF-8") from None
    if "\0" in text:
        raise InvalidInputError(f"line {text.count(chr(10), 0, text.index(chr(0))) + 1}: it contains a NUL character")
    return text


def _csv_rows(text: str) -> Iterator[_Row]:
    reader = csv.reader([f"{line}\n" for line in text.removesuffix("\n").split("\n")] if text else [], strict=True)
    try:
        columns = _columns(next(reader, []))
        first = reader.line_num + 1
        for cells in reader:
            line, first = first, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(columns):
                raise InvalidInputError(f"line {line}: it has {len(cells)} cells; the first line has {len(columns)}")
            yield _Row(line=line, values=dict(zip(columns, cells, strict=True)))
    except csv.Error as error:
        raise InvalidInputError(f"line {reader.line_num}: it is no CSV: {one_line(str(error), 80)}") from None


def _columns(cells: Sequence[str]) -> list[str]:
    columns = [cell.strip().lower() for cell in cells]
    wanted = f"the columns are {', '.join(COLUMNS)}"
    for column in columns:
        if column not in COLUMNS:
            raise InvalidInputError(f"line 1: there is no column {one_line(column, 40)!r}; {wanted}, between commas")
        if columns.count(column) > 1:
            raise InvalidInputError(f"line 1: the column {column!r} occurs twice")
    for column in REQUIRED:
        if column not in columns:
            raise InvalidInputError(f"line 1: the column {column!r} is missing; {wanted}")
    return columns


def _toml_rows(text: str) -> tuple[dict[str, str], Iterable[_Row]]:
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInputError(f"it is no TOML: {one_line(str(error), 120)}") from None
    for key in document.keys() - {*HEADER_KEYS, ITEMS}:
        known = ", ".join((*HEADER_KEYS, ITEMS))
        raise InvalidInputError(f"there is no key {one_line(key, 40)!r}; the keys are {known}")
    items = document.get(ITEMS, [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InvalidInputError(f"{ITEMS!r} must be tables: begin each project with [[{ITEMS}]]")
    lines = [number for number, line in enumerate(text.splitlines(), start=1) if _ITEM_LINE.match(line)]
    if len(lines) != len(items):  # they are written in another way, so their lines are not known
        lines = [0] * len(items)
    rows = [_Row(line=line, values=item) for line, item in zip(lines, items, strict=True)]
    limits = {"name": MAX_NAME_LENGTH, "description": MAX_DESCRIPTION_LENGTH, "dataset": MAX_NAME_LENGTH}
    return {key: _text(document, key, limits[key]) for key in HEADER_KEYS}, rows


def _at_line(row: _Row) -> ManifestItem:
    place = f"line {row.line}: " if row.line else ""
    try:
        return _item(row)
    except InvalidInputError as error:
        raise InvalidInputError(f"{place}{error}") from None


def _item(row: _Row) -> ManifestItem:
    for key in row.values.keys() - set(COLUMNS):
        raise InvalidInputError(f"there is no key {one_line(key, 40)!r}; the keys are {', '.join(COLUMNS)}")
    source = _text(row.values, "source", MAX_SOURCE_LENGTH)
    if not source:
        raise InvalidInputError("it names no source: a path or an https:// URL")
    model = _text(row.values, "author_model", MAX_WORD_LENGTH)
    author = Author.declared(_text(row.values, "author_type", MAX_WORD_LENGTH).lower(), model)
    return ManifestItem(source=source, author=author, task=_text(row.values, "task", MAX_WORD_LENGTH), line=row.line)


def _text(values: Mapping[str, JSON], key: str, limit: int) -> str:
    value = values.get(key, "")
    if not isinstance(value, str):
        raise InvalidInputError(f"{key} must be text")
    return checked_text(key, value.strip(), limit)


def _refuse_duplicates(items: Sequence[ManifestItem]) -> None:
    seen: dict[str, int] = {}
    for number, item in enumerate(items, start=1):
        place = f"line {item.line}" if item.line else f"project {number}"
        earlier = seen.setdefault(_identity(item.source), item.line or number)
        if earlier != (item.line or number):
            kind = "line" if item.line else "project"
            raise InvalidInputError(f"{place}: the source is that of {kind} {earlier}; each project counts once")


def _identity(source: str) -> str:
    """Return a text that is the same for two ways to write a source."""
    if "://" in source:
        project = Project.of(url=source, name=None, filename=None)
        return source if project is None else project.key
    return posixpath.normpath(source)
