"""A treemap of files: the area of a cell are its source lines, its colour and its number the health score."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from unicodedata import east_asian_width

import squarify

from worker.export.html.charts.health import health_class
from worker.export.html.charts.svg import Svg, element, image
from worker.export.html.values import counted, fixed, path_text

WIDTH, HEIGHT = 1080.0, 520.0
_SMALLEST_FILE, _SMALLEST_FOLDER = 25.0, 400.0
"""Square pixels of the smallest cell of a file, and of a folder whose files share one."""

_HEADER, _GAP, _MAX_DEPTH = 17.0, 2.0, 6
_LEAST_FRAME = (60.0, 46.0)
"""Width and height of the smallest folder that has a frame with its name."""

_CHAR_WIDTH, _FONT = 6.3, 11
_TITLE_PATH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedFile:
    """A file with source lines; `health` is None where it was not measured."""

    path: str
    sloc: int
    health: float | None


class _Box(NamedTuple):
    x: float
    y: float
    width: float
    height: float


@dataclass(slots=True, kw_only=True)
class _Folder:
    """A folder; `singles` is the number of files below it that have a cell of their own."""

    name: str
    path: str
    sloc: int = 0
    singles: int = 0
    folders: dict[str, "_Folder"] = field(default_factory=dict)
    files: list[MappedFile] = field(default_factory=list)

    def all_files(self) -> Iterator[MappedFile]:
        yield from self.files
        for folder in self.folders.values():
            yield from folder.all_files()


@dataclass(frozen=True, slots=True, kw_only=True)
class Treemap:
    """The image, and how many files have a cell of their own."""

    svg: Svg
    single: int


def treemap(files: Sequence[MappedFile], label: str, most: int) -> Treemap:
    """Draw the files, which must have source lines. The largest, at most `most`, have cells of their own."""
    least = _SMALLEST_FILE * sum(file.sloc for file in files) / (WIDTH * HEIGHT)
    large = sorted((file for file in files if file.sloc >= least), key=lambda file: (-file.sloc, file.path))
    singles = {file.path for file in large[:most]}
    root = _tree(files, singles)
    while not root.files and len(root.folders) == 1:  # the only folder needs no frame
        (root,) = root.folders.values()
    svg = image(WIDTH, HEIGHT, _draw(root, _Box(0, 0, WIDTH, HEIGHT), singles), label=label, class_="treemap")
    return Treemap(svg=svg, single=len(singles))


def _tree(files: Iterable[MappedFile], singles: Collection[str]) -> _Folder:
    root = _Folder(name="", path="")
    for file in files:
        folder = root
        parts = file.path.split("/")[:-1][:_MAX_DEPTH]
        for depth, part in enumerate(parts, 1):
            folder = folder.folders.setdefault(part, _Folder(name=part, path="/".join(parts[:depth])))
            folder.sloc += file.sloc
            folder.singles += file.path in singles
        folder.files.append(file)
        root.sloc += file.sloc
    return root


def _draw(folder: _Folder, box: _Box, singles: Collection[str]) -> Iterator[Svg]:
    """Yield the elements of a folder's content."""
    parts = _parts(folder, box.width * box.height / folder.sloc, singles)
    sizes = squarify.normalize_sizes([part.sloc for part in parts], box.width, box.height)
    for part, place in zip(parts, squarify.squarify(sizes, *box), strict=True):
        inner = _Box(place["x"], place["y"], place["dx"], place["dy"])
        if isinstance(part, MappedFile):
            yield _file_cell(part, inner)
        elif not part.singles:
            yield _merged_cell(part, inner)
        else:
            yield from _folder_cell(part, inner, singles)


def _parts(folder: _Folder, scale: float, singles: Collection[str]) -> list["_Folder | MappedFile"]:
    """Return what the folder contains, the largest first; the files without a cell are one folder without a name."""
    shown: list[_Folder | MappedFile] = [file for file in folder.files if file.path in singles]
    merged = [file for file in folder.files if file.path not in singles]
    for part in folder.folders.values():
        if part.singles or part.sloc * scale >= _SMALLEST_FOLDER:
            shown.append(part)
        else:
            merged += part.all_files()
    if merged:
        lines = sum(file.sloc for file in merged)
        shown.append(_Folder(name="", path=folder.path, sloc=lines, files=merged))
    return sorted(shown, key=lambda part: (-part.sloc, part.path))


def _folder_cell(folder: _Folder, box: _Box, singles: Collection[str]) -> Iterator[Svg]:
    """Yield a folder with its name above its content; a small one without."""
    if box.width < _LEAST_FRAME[0] or box.height < _LEAST_FRAME[1]:
        yield from _draw(folder, box, singles)
        return
    name = folder.name
    while not folder.files and len(folder.folders) == 1:  # a chain of folders has one frame
        (folder,) = folder.folders.values()
        name = f"{name}/{folder.name}"
    title = f"{path_text(folder.path, _TITLE_PATH)}: {counted(folder.sloc, 'source line')}"
    yield _frame(box, name, title)
    inner = _Box(box.x + 3, box.y + _HEADER, box.width - 6, box.height - _HEADER - 3)
    yield from _draw(folder, inner, singles)


def _frame(box: _Box, name: str, title: str) -> Svg:
    rect = element(
        "rect", class_="folder", x=box.x + 1, y=box.y + 1, width=box.width - 2, height=box.height - 2, rx=3.0,
        fill="#7f8790", fill_opacity="0.14", stroke="#7f8790", stroke_opacity="0.5",
    )  # fmt: skip
    shown = _fitting(name, box.width - 12)
    text = element(
        "text", shown, x=box.x + 6, y=box.y + 12.5, font_size=str(_FONT), font_weight="600", fill="currentColor"
    )
    return element("g", element("title", title), rect, text)


def _file_cell(file: MappedFile, box: _Box) -> Svg:
    health = fixed(file.health, 0)
    title = f"{path_text(file.path, _TITLE_PATH)}: {counted(file.sloc, 'source line')}, health {health}"
    return _cell(box, file.path.rpartition("/")[2], file.health, title)


def _merged_cell(folder: _Folder, box: _Box) -> Svg:
    files = list(folder.all_files())
    known = [(file.health, file.sloc) for file in files if file.health is not None]
    lines = sum(sloc for _, sloc in known)
    mean = sum(health * sloc for health, sloc in known) / lines if lines else None
    unknown = len(files) - len(known)
    title = f"{path_text(folder.path, _TITLE_PATH) or 'top folder'}: {counted(len(files), 'file')} in one cell, "
    title += f"{counted(folder.sloc, 'source line')}, mean health {fixed(mean, 0)}"
    title += f", {unknown:,} of them not measured" if unknown and known else ""
    return _cell(box, f"{folder.name + ': ' if folder.name else ''}{counted(len(files), 'file')}", mean, title)


def _cell(box: _Box, name: str, health: float | None, title: str) -> Svg:
    """Return a cell with its name and its health, as far as they fit."""
    shade = health_class(health)
    x, y, width, height = box.x + _GAP / 2, box.y + _GAP / 2, box.width - _GAP, box.height - _GAP
    rect = element("rect", x=x, y=y, width=max(width, 0.5), height=max(height, 0.5), rx=2.0, fill=shade.fill)
    lines = []
    score = "?" if health is None else f"{health:.0f}"
    if height >= 15 and width >= 20:
        two_lines = height >= 30 and width >= 40
        first = _fitting(name, width - 8) if two_lines else score
        lines.append(element("text", first, x=x + 4, y=y + 12, font_size=str(_FONT), fill=shade.ink))
        if two_lines:
            lines.append(
                element("text", score, x=x + 4, y=y + 25, font_size=str(_FONT), font_weight="600", fill=shade.ink)
            )
    return element("g", element("title", title), rect, *lines)


def _fitting(name: str, width: float) -> str:
    """Return as much of a name as fits; letters of East Asia are about twice as wide."""
    shown = path_text(name, 200)
    room = width / _CHAR_WIDTH
    for kept, char in enumerate(shown):
        room -= 2 if east_asian_width(char) in "WF" else 1
        if room < 0:
            return shown[: max(1, kept - 1)] + "…"

    return shown
