"""A forest plot: Cliff's delta of two authors by each measure, with its interval."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.export.html.charts.svg import Svg, element, image

WIDTH, ROW = 700.0, 26.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 250.0, 24.0, 12.0, 48.0
_FONT = "12"
_TICKS = (-1.0, -0.5, 0.0, 0.5, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestRow:
    """A measure: the delta with its bounds, -1..1, and whether a difference was shown."""

    title: str
    delta: float
    low: float
    high: float
    shown: bool


def forest_plot(rows: Sequence[ForestRow], *, first: str, second: str) -> Svg:
    """Draw a line for each row. To the right of 0 the first author's values are higher."""
    bottom = _TOP + ROW * len(rows)
    parts = [*_axis(bottom, first=first, second=second)]
    for number, row in enumerate(rows):
        parts += _row(row, _TOP + ROW * (number + 0.5))
    label = f"Forest plot of Cliff's delta, {first} against {second}; the table beside it has the numbers"
    return image(WIDTH, bottom + _BOTTOM, parts, label=label, class_="chart")


def _x(delta: float) -> float:
    return _LEFT + (delta + 1) / 2 * (WIDTH - _LEFT - _RIGHT)


def _axis(bottom: float, *, first: str, second: str) -> Iterator[Svg]:
    for tick in _TICKS:
        opacity = "0.6" if tick == 0 else "0.16"
        x = _x(tick)
        yield element("line", x1=x, y1=_TOP, x2=x, y2=bottom, stroke="currentColor", stroke_opacity=opacity)
        yield _text(f"{tick:g}", x, bottom + 16, "middle")
    yield _text(f"{_short(second)} higher", _x(-1), bottom + 36, "start")
    yield _text(f"{_short(first)} higher", _x(1), bottom + 36, "end")


def _row(row: ForestRow, y: float) -> Iterator[Svg]:
    yield _text(row.title, _LEFT - 14, y + 4, "end")
    low, high = _x(row.low), _x(row.high)
    line = element("line", x1=low, y1=y, x2=high, y2=y, stroke="currentColor", stroke_width="1.6")
    ends = [
        element("line", x1=x, y1=y - 4, x2=x, y2=y + 4, stroke="currentColor", stroke_width="1.6") for x in (low, high)
    ]
    dot = element(
        "circle", cx=_x(row.delta), cy=y, r=5.0, fill="currentColor" if row.shown else "none", stroke="currentColor",
        stroke_width="1.6",
    )  # fmt: skip
    title = element("title", f"{row.title}: {row.delta:.2f}, {row.low:.2f} to {row.high:.2f}")
    yield element("g", title, line, *ends, dot)


def _text(text: str, x: float, y: float, anchor: str) -> Svg:
    return element("text", text, x=x, y=y, text_anchor=anchor, font_size=_FONT, fill="currentColor")


def _short(author: str) -> str:
    return author if len(author) <= 24 else author[:23] + "…"
