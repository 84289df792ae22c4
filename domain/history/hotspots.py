"""Hotspots: files that change often and are in bad health.

After A. Tornhill, "Your Code as a Crime Scene" (2015), which ranks files by their number of revisions and by their
complexity. Here revisions are weighted by recency, and health stands for complexity.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import fsum

from domain.history.commits import Changes

HALF_LIFE_SECONDS = 90 * 86_400
"""The age at which a commit counts half."""

MIN_COMMITS = 20
"""A history of fewer commits says nothing about where changes concentrate."""

MAX_CANDIDATES = 50


def recency_weight(at: int, now: int) -> float:
    """Return 0.5 ** (age / half-life); a commit that is dated later than `now` counts as one of now."""
    return float(0.5 ** (max(0, now - at) / HALF_LIFE_SECONDS))


def weigh_commits(changes: Changes, now: int) -> dict[str, float]:
    """Return the sum of the weights of each file's commits, by path. It does not depend on the order of the changes."""
    weight_at = {at: recency_weight(at, now) for at in set(changes.at)}
    weights: dict[str, list[float]] = defaultdict(list)
    for path, at in zip(changes.paths, changes.at, strict=True):
        weights[path].append(weight_at[at])
    return {path: fsum(of_path) for path, of_path in weights.items()}


def select_candidates(weights: Mapping[str, float]) -> Sequence[str]:
    """Return the smallest set of files that has half of all weight, the heaviest first; at most `MAX_CANDIDATES`."""
    heaviest_first = sorted((path for path in weights if weights[path] > 0), key=lambda path: (-weights[path], path))
    half = fsum(weights.values()) / 2
    selected: list[str] = []
    reached = 0.0
    for path in heaviest_first[:MAX_CANDIDATES]:
        if reached >= half:
            break
        selected.append(path)
        reached += weights[path]
    return selected


def hotspot_score(percentile: float, health: float) -> float:
    """Return percentile * (100 - health) / 100: 0..100, higher is worse.

    `percentile` is that of the file's weighted commits among all source files; `health` is the health score without
    churn. Both are 0..100.
    """
    return percentile * (100 - health) / 100
