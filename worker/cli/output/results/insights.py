"""The insights of a result: statements with their confidence."""

from collections.abc import Mapping

from rich.markup import escape

from domain.text import JSON, one_line
from worker.cli.output.grid import Grid

INSIGHTS = 5
_TITLE_LIMIT = 200


def insights_grid(document: Mapping[str, JSON]) -> Grid | None:
    """Return the insights with the highest confidence; None for a run without any."""
    insights = document.get("insights") or []
    if not insights:
        return None
    shown = insights[:INSIGHTS]
    title = f"Insights ({len(shown)} of {len(insights)})" if len(insights) > len(shown) else "Insights"
    grid = Grid(headings=("confidence", "insight"), title=title, numbers=frozenset({"confidence"}))
    for insight in shown:
        grid.rows.append((f"{insight['confidence_score']:.2f}", escape(one_line(insight["title"], _TITLE_LIMIT))))
    return grid
