"""Classes of health scores, and their colours."""

from dataclasses import dataclass

from domain.text import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthClass:
    """Scores from `least` on. `ink` is the colour of text on `fill`, with a contrast of at least 4.5."""

    key: str
    least: float
    words: str
    fill: str
    ink: str


HEALTH_CLASSES = (
    HealthClass(key="h5", least=80, words="80 to 100", fill="#5fa89f", ink="#0b1a18"),
    HealthClass(key="h4", least=65, words="65 to 80", fill="#aed2c6", ink="#0b1a18"),
    HealthClass(key="h3", least=50, words="50 to 65", fill="#ecdfb2", ink="#241c05"),
    HealthClass(key="h2", least=35, words="35 to 50", fill="#e9a66b", ink="#2a1402"),
    HealthClass(key="h1", least=0, words="below 35", fill="#b93f32", ink="#ffffff"),
)
"""From the best on. The hues differ for colour-blind readers too; each cell also has its number."""

UNKNOWN = HealthClass(key="h0", least=-1, words="not measured", fill="#d5d8dc", ink="#1c2024")


def health_class(score: float | None) -> HealthClass:
    """Return the class of a score; UNKNOWN for None."""
    if score is None:
        return UNKNOWN
    return next((each for each in HEALTH_CLASSES if score >= each.least), HEALTH_CLASSES[-1])


def legend() -> list[dict[str, JSON]]:
    """Return the classes in their order, as the template lists them."""
    return [{"fill": each.fill, "words": each.words} for each in (*HEALTH_CLASSES, UNKNOWN)]
