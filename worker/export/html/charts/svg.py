"""Elements of an SVG image. Texts and values are escaped, and only known attributes are accepted."""

from collections.abc import Iterable
from html import escape

_ATTRIBUTES = frozenset(
    {
        "aria-hidden", "aria-label", "class", "cx", "cy", "d", "fill", "fill-opacity", "font-size", "font-weight",
        "height", "points", "preserveAspectRatio", "r", "role", "rx", "stroke", "stroke-dasharray", "stroke-linejoin",
        "stroke-opacity", "stroke-width", "text-anchor", "transform", "viewBox", "width", "x", "x1", "x2", "y", "y1",
        "y2",
    }
)  # fmt: skip
"""Neither `style`, which the content security policy forbids, nor links nor events."""


class Svg:
    """Markup of an image; jinja2 does not escape it again."""

    __slots__ = ("_markup",)

    def __init__(self, markup: str) -> None:
        self._markup = markup

    def __html__(self) -> str:
        return self._markup

    def __str__(self) -> str:
        return self._markup


def element(name: str, *children: "Svg | str", **attributes: str | float) -> Svg:
    """Return an element with these children; a text among them is escaped.

    `_` in a name of an attribute stands for `-`, and at its end for nothing. Numbers have at most one decimal. Raises
    ValueError for an attribute that an image of ours has no use for.
    """
    written = []
    for key, value in attributes.items():
        attribute = key.rstrip("_").replace("_", "-")
        if attribute not in _ATTRIBUTES:
            raise ValueError(f"an image has no attribute {attribute}")
        written.append(f' {attribute}="{escape(value if isinstance(value, str) else coordinate(value))}"')
    inner = "".join(str(child) if isinstance(child, Svg) else escape(child, quote=False) for child in children)
    opening = f"<{name}{''.join(written)}"
    return Svg(f"{opening}>{inner}</{name}>" if children else f"{opening}/>")


def image(width: float, height: float, children: Iterable[Svg], *, label: str, class_: str = "") -> Svg:
    """Return an image that scales to its place; `label` says what it shows to those who do not see it."""
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {coordinate(width)} {coordinate(height)}",
        width=width,
        height=height,
        class_=class_,
        role="img",
        aria_label=label,
    )


def coordinate(value: float) -> str:
    """Return a number with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")
