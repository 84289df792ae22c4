"""A scatter chart of hotspots: how often files change, against their health."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.export.html.charts.health import health_class
from worker.export.html.charts.svg import Svg, element, image

WIDTH, HEIGHT = 640.0, 420.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 18.0, 14.0, 44.0
_FONT = "12"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A file: `x` and `y` are 0..100. `label` is its number in the table beside the chart, or empty."""

    x: float
    y: float
    label: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """Values from `least` to `greatest` at coordinates from `start` to `end`."""

    least: float
    greatest: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (value - self.least) / (self.greatest - self.least)
        return self.start + share * (self.end - self.start)

    @property
    def ticks(self) -> Iterator[float]:
        step = 20 if self.greatest - self.least > 50 else 10 if self.greatest - self.least > 20 else 5
        tick = self.least
        while tick <= self.greatest:
            yield tick
            tick += step


def scatter(points: Sequence[Point], *, x_title: str, y_title: str, label: str) -> Svg:
    """Draw the points. Both axes begin and end at multiples of 10 around the values; the labelled ones are on top."""
    across = _axis([point.x for point in points], _LEFT, WIDTH - _RIGHT)
    up = _axis([point.y for point in points], HEIGHT - _BOTTOM, _TOP)
    parts = [*_grid(across, up), *_titles(x_title, y_title)]
    # The first point is drawn last, and those without a label first.
    drawn = sorted(points, key=lambda point: (point.label != "", -int(point.label or 0)))
    parts += [_dot(point, across.at(point.x), up.at(point.y)) for point in drawn]
    return image(WIDTH, HEIGHT, parts, label=label, class_="chart")


def _axis(values: Sequence[float], start: float, end: float) -> _Axis:
    least, greatest = min(values, default=0.0) // 10 * 10, -(-max(values, default=100.0) // 10) * 10
    if greatest - least < 20:
        least, greatest = (least, least + 20) if least + 20 <= 100 else (80.0, 100.0)
    return _Axis(least=least, greatest=greatest, start=start, end=end)


def _grid(across: _Axis, up: _Axis) -> Iterator[Svg]:
    for tick in across.ticks:
        x = across.at(tick)
        yield _line(x, up.start, x, up.end)
        yield element(
            "text", f"{tick:.0f}", x=x, y=up.start + 16, text_anchor="middle", font_size=_FONT, fill="currentColor"
        )
    for tick in up.ticks:
        y = up.at(tick)
        yield _line(across.start, y, across.end, y)
        yield element(
            "text", f"{tick:.0f}", x=across.start - 8, y=y + 4, text_anchor="end", font_size=_FONT, fill="currentColor"
        )


def _line(x1: float, y1: float, x2: float, y2: float) -> Svg:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke="currentColor", stroke_opacity="0.16")


def _titles(x_title: str, y_title: str) -> Iterator[Svg]:
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    yield element("text", x_title, x=middle, y=HEIGHT - 8, text_anchor="middle", font_size=_FONT, fill="currentColor")
    height = (_TOP + HEIGHT - _BOTTOM) / 2
    yield element(
        "text", y_title, transform=f"translate(12 {height:.0f}) rotate(-90)", text_anchor="middle", font_size=_FONT,
        fill="currentColor",
    )  # fmt: skip


def _dot(point: Point, x: float, y: float) -> Svg:
    """Draw a point: one with a label is larger, and has its number in it."""
    shade = health_class(point.y)
    title = element("title", point.title)
    if not point.label:
        dot = element("circle", cx=x, cy=y, r=4.0, fill=shade.fill, stroke="currentColor", stroke_opacity="0.55")
        return element("g", title, dot)
    dot = element("circle", cx=x, cy=y, r=9.0, fill=shade.fill, stroke="currentColor", stroke_width="1.2")
    text = element(
        "text", point.label, x=x, y=y + 3.7, text_anchor="middle", font_size="11", font_weight="600", fill=shade.ink
    )
    return element("g", title, dot, text)
