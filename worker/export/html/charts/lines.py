"""Small lines and bars beside numbers."""

from collections.abc import Sequence

from worker.export.html.charts.svg import Svg, coordinate, element, image

LINE_WIDTH, LINE_HEIGHT = 240.0, 56.0
BAR_WIDTH, BAR_HEIGHT = 120.0, 8.0
_MARGIN = 5.0


def line_chart(values: Sequence[float], label: str) -> Svg:
    """Draw values from left to right, from the least to the greatest one in height; the last one has a dot."""
    least, greatest = min(values), max(values)
    inner_width, inner_height = LINE_WIDTH - 2 * _MARGIN, LINE_HEIGHT - 2 * _MARGIN

    def at(index: int, value: float) -> tuple[float, float]:
        share = (value - least) / (greatest - least) if greatest > least else 0.5
        across = index / (len(values) - 1) if len(values) > 1 else 1.0
        return _MARGIN + across * inner_width, LINE_HEIGHT - _MARGIN - share * inner_height

    points = [at(index, value) for index, value in enumerate(values)]
    path = " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in points)
    x, y = points[-1]
    base = LINE_HEIGHT - 1
    parts = [
        element("line", x1=0, y1=base, x2=LINE_WIDTH, y2=base, stroke="currentColor", stroke_opacity="0.2"),
        element("polyline", points=path, fill="none", stroke="#3f7fb5", stroke_width="1.8", stroke_linejoin="round"),
        element("circle", cx=x, cy=y, r=3.2, fill="#3f7fb5"),
    ]
    return image(LINE_WIDTH, LINE_HEIGHT, parts, label=label, class_="line")


def bar(percent: float) -> Svg:
    """Draw a bar of 0..100 percent. The number stands beside it, so it is hidden from screen readers."""
    filled = min(max(percent, 0.0), 100.0) / 100 * BAR_WIDTH
    track = element("rect", width=BAR_WIDTH, height=BAR_HEIGHT, rx=2.0, fill="#7f8790", fill_opacity="0.22")
    value = element("rect", width=filled, height=BAR_HEIGHT, rx=2.0, fill="#3f7fb5")
    return element(
        "svg", track, value, viewBox=f"0 0 {BAR_WIDTH:.0f} {BAR_HEIGHT:.0f}", width=BAR_WIDTH, height=BAR_HEIGHT,
        class_="bar", aria_hidden="true",
    )  # fmt: skip
