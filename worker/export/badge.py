"""Badges of a run: an SVG image, and the JSON that shields.io makes an image of.

They show the quality score of the source files, or one metric.
"""

import re
from dataclasses import dataclass
from html import escape

from domain.errors import InvalidInputError
from domain.findings.roles import Role
from domain.metrics import scoring
from domain.metrics.declaration import MetricDeclaration
from domain.metrics.row_text import row_text
from domain.text import one_line
from infrastructure.json_codec import dumps
from worker.export.exported_run import ExportedRun

TEXT_LIMIT = 60
GOOD, FAIR = 80, 50
GREEN, YELLOW, RED, GREY = "#2e7d32", "#8a6100", "#b3261e", "#5f6368"
"""Colours on which white text has a contrast of at least 4.5."""

_LARGEST = 1e15
"""Numbers beyond are no measurements."""

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NARROW, _WIDE = frozenset("iljt.,:;|!'()[]fI /"), frozenset("mwMW%@")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Badge:
    label: str
    message: str
    colour: str


def badge_svg(run: ExportedRun, metric: str | None = None) -> bytes:
    """Return an image of 20 pixels' height, as UTF-8, without script, style or reference. Raises InvalidInputError."""
    badge = _badge(run, metric)
    left, right = _width(badge.label), _width(badge.message)
    title = _xml_text(f"{badge.label}{_subject(run)}: {badge.message}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{title}"><title>{title}</title>'
        f'<rect width="{left}" height="20" fill="#444c56"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{badge.colour}"/>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f"{_svg_text(badge.label, 0, left)}{_svg_text(badge.message, left, right)}</g></svg>\n"
    ).encode()


def _subject(run: ExportedRun) -> str:
    """Return which project was measured on which day, as far as the run says."""
    source = run.part("source")
    name, url, at = (source.get(key) for key in ("project_name", "git_repo_url", "created_at"))
    project = next((one_line(text, TEXT_LIMIT) for text in (name, url) if isinstance(text, str) and text.strip()), "")
    day = one_line(at[:10]) if isinstance(at, str) else ""
    return (f" of {project}" if project else "") + (f" on {day}" if day else "")


def badge_json(run: ExportedRun, metric: str | None = None) -> bytes:
    """Return the document of a Shields endpoint, as UTF-8. Raises InvalidInputError."""
    badge = _badge(run, metric)
    return dumps(
        {"schemaVersion": 1, "label": badge.label, "message": badge.message, "color": badge.colour.removeprefix("#")}
    )


def quality_score(run: ExportedRun) -> float | None:
    """Return the run's quality score; for a run without one, the mean health of its source files weighted by sloc.

    None where no source file counts, as for the quality score itself.
    """
    stored = _number(run.document.get("quality_score"))
    if stored is not None:
        return stored
    of_source = [node.get("metrics") or {} for node in run.files if node.get("role", Role.SOURCE) == Role.SOURCE]
    return scoring.quality_score(
        (_number(metrics.get("health_score")), _number((metrics.get("size") or {}).get("sloc")))
        for metrics in of_source
    )


def _badge(run: ExportedRun, metric: str | None) -> _Badge:
    if metric is not None:
        return _metric_badge(run, metric)
    score = quality_score(run)
    message = "unknown" if score is None else f"{score:.0f} / 100"
    if run.part("review").get("verdict") == "REJECTED":
        return _Badge(label="vibe8 quality", message=f"{message}, rejected", colour=RED)
    return _Badge(label="vibe8 quality", message=message, colour=_colour(score))


def _metric_badge(run: ExportedRun, name: str) -> _Badge:
    declaration = next((each for each in run.declarations if each.name == name), None)
    if declaration is None:
        known = ", ".join(each.name for each in run.declarations)
        raise InvalidInputError(f"there is no metric {one_line(name, 40)!r}; there are {known}")
    return _badge_of(declaration, run.part("metrics").get(name) or {})


def _badge_of(declaration: MetricDeclaration, aggregate: dict[str, object]) -> _Badge:
    text = row_text(declaration.row, aggregate)
    score = _number(aggregate.get(declaration.row.score)) if declaration.row.score else None
    message = f"{score:.0f} / 100" if score is not None else text or "not measured"
    return _Badge(label=declaration.name, message=one_line(message, TEXT_LIMIT), colour=_colour(score))


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if abs(value) <= _LARGEST else None  # NaN is not less than anything


def _colour(score: float | None) -> str:
    if score is None:
        return GREY
    return GREEN if score >= GOOD else YELLOW if score >= FAIR else RED


def _width(text: str) -> int:
    """Return the width of a half in pixels: that of the text in Verdana of 11 pixels, nearly, and its margins."""
    return 12 + round(sum(4.5 if char in _NARROW else 10.5 if char in _WIDE else 7.2 for char in text))


def _svg_text(text: str, start: int, width: int) -> str:
    # textLength makes the text fit, whichever font is there.
    return f'<text x="{start + 6}" y="14" textLength="{width - 12}">{_xml_text(text)}</text>'


def _xml_text(text: str) -> str:
    return escape(_NOT_IN_XML.sub("\ufffd", text))
