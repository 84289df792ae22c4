"""What the report says of the history: hotspots, files that change together, and who knows the code."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from domain.findings.roles import Role
from worker.export.exported_run import ExportedRun
from worker.export.html.charts.health import health_class
from worker.export.html.charts.lines import bar
from worker.export.html.charts.scatter import Point, scatter
from worker.export.html.values import (
    NOT_MEASURED,
    count,
    counted,
    cut,
    fixed,
    line,
    mapping,
    number,
    objects,
    path_text,
    plain_number,
    texts,
)

LABELLED, HOTSPOTS_SHOWN, PAIRS_SHOWN, PEOPLE_SHOWN, NAMES_SHOWN, POINTS_SHOWN = 10, 15, 20, 12, 20, 100
_FACTORS = {
    "truck_factor": "Truck factor",
    "truck_factor_without_silent": "Truck factor without people silent for 12 months",
}
_NAME_NOT_SHOWN = "name not shown"


def history_reason(run: ExportedRun) -> str | None:
    """Return why there is no history, or None."""
    history = run.part("history")
    if not history:
        return "this run has no history"
    return line(history.get("reason")) or None


def hotspots(run: ExportedRun, most: int) -> dict[str, Any]:
    """Return the files that change often and are in bad health: a chart of all, and a table of the first."""
    part = mapping(run.part("history").get("hotspots"))
    files = objects(part.get("files"))
    points = [_point(index, file) for index, file in enumerate(files[:POINTS_SHOWN], 1)]
    drawn = [point for point in points if point is not None]
    shown = files[: min(most, HOTSPOTS_SHOWN)]
    label = f"Scatter chart of {counted(len(drawn), 'file')}: how often they change against their health"
    chart = scatter(
        drawn,
        x_title="changed more often than this percentage of the source files",
        y_title="health without churn",
        label=label,
    )
    return {
        "reason": _reason(run, part, "no source file was changed often"),
        "chart": chart if drawn else None,
        "drawn": cut(len(drawn), len(files)),
        "rows": [_hotspot(index, file) for index, file in enumerate(shown, 1)],
        "cut": cut(len(shown), len(files)),
    }


def _reason(run: ExportedRun, part: Mapping[str, Any], otherwise: str) -> str:
    if not part:
        return history_reason(run) or NOT_MEASURED
    return line(part.get("reason")) or otherwise


def _point(rank: int, file: Mapping[str, Any]) -> Point | None:
    percentile, health = number(file.get("percentile")), number(file.get("health"))
    if percentile is None or health is None:
        return None
    title = f"{rank}. {path_text(file.get('path'), 100)}: health {health:.0f}, "
    title += f"changed more often than {percentile:.0f} % of the source files"
    return Point(
        x=min(max(percentile, 0.0), 100.0),
        y=min(max(health, 0.0), 100.0),
        label=str(rank) if rank <= LABELLED else "",
        title=title,
    )


def _hotspot(rank: int, file: Mapping[str, Any]) -> dict[str, Any]:
    health = number(file.get("health"))
    return {
        "rank": rank,
        "path": path_text(file.get("path")),
        "commits": plain_number(number(file.get("commits")), "?"),
        "percentile": fixed(number(file.get("percentile")), 1, "?"),
        "health": fixed(health, 1, "?"),
        "shade": health_class(health).fill,
        "score": fixed(number(file.get("score")), 1, "?"),
    }


def coupling(run: ExportedRun, most: int) -> dict[str, Any]:
    """Return the pairs of files that change together though neither imports the other, and count the expected ones."""
    part = mapping(run.part("history").get("coupling"))
    pairs = objects(part.get("pairs"))
    hidden = [pair for pair in pairs if pair.get("kind") == "hidden"]
    expected = sum(pair.get("kind") == "expected" for pair in pairs)
    shown = hidden[: min(most, PAIRS_SHOWN)]
    total = max(len(pairs), count(part.get("total")) or 0)
    return {
        "reason": _reason(run, part, _no_pairs(pairs)),
        "rows": [_pair(pair) for pair in shown],
        "cut": cut(len(shown), len(hidden)),
        "expected": counted(expected, "pair") if expected else None,
        "unlisted": counted(total - len(pairs), "pair") if total > len(pairs) else None,
        "commits": None if count(part.get("commits")) is None else counted(int(part["commits"]), "commit"),
    }


def _no_pairs(pairs: Sequence[Mapping[str, Any]]) -> str:
    if any(pair.get("kind") == "unknown" for pair in pairs):
        return "imports were not measured, so no pair of files is known to change together without a reason"
    return "no pair of files changes together without a known reason"


def _pair(pair: Mapping[str, Any]) -> dict[str, Any]:
    revisions = [plain_number(number(pair.get(key)), "?") for key in ("left_revisions", "right_revisions")]
    confidence = number(pair.get("confidence"))
    return {
        "left": path_text(pair.get("left")),
        "right": path_text(pair.get("right")),
        "shared": plain_number(number(pair.get("shared")), "?"),
        "revisions": " / ".join(revisions),
        "degree": fixed(number(pair.get("degree")), 0, "?"),
        "confidence": "?" if confidence is None else f"{confidence * 100:,.0f}",
    }


def ownership(run: ExportedRun) -> dict[str, Any]:
    """Return the truck factor, who wrote the source files, and how many of these nobody knows any more."""
    part = mapping(run.part("history").get("ownership"))
    source = {str(node.get("path")) for node in run.files if node.get("role", Role.SOURCE) == Role.SOURCE}
    listed = objects(part.get("files"))
    files = [file for file in listed if str(file.get("path")) in source]
    total = max(len(listed), count(part.get("total")) or 0)
    people = _people(files)
    return {
        "reason": _reason(run, part, "no author of a source file is known"),
        "is_known": bool(part),
        "people": plain_number(number(part.get("people")), NOT_MEASURED),
        "factors": [(name, _factor(mapping(part.get(key)))) for key, name in _FACTORS.items()],
        "rows": people[:PEOPLE_SHOWN],
        "cut": cut(min(PEOPLE_SHOWN, len(people)), len(people)),
        "files": f"{len(files):,}",
        "unlisted": counted(total - len(listed), "file") if total > len(listed) else None,
        "known_by_nobody": sum(1 for file in files if count(file.get("known_by")) == 0),
        "known_by_one": sum(1 for file in files if count(file.get("known_by")) == 1),
        "ai": _ai_share(mapping(run.part("history").get("ai_share"))),
    }


def _factor(part: Mapping[str, Any]) -> dict[str, Any]:
    names = texts(part.get("names"))
    covered = number(part.get("covered"))
    return {
        "people": plain_number(number(part.get("people")), NOT_MEASURED),
        "names": ", ".join(name[:60] for name in names[:NAMES_SHOWN]),
        "cut": cut(min(len(names), NAMES_SHOWN), max(len(names), count(part.get("people")) or 0)) if names else None,
        "covered": None if covered is None else f"{covered * 100:.0f}",
    }


def _people(files: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the main authors of files, by the lines that they added as such."""
    lines: defaultdict[str, float] = defaultdict(float)
    mains: Counter[str] = Counter()
    added = 0.0
    for file in files:
        name = line(file.get("main_author"), 80) or _NAME_NOT_SHOWN
        of_file, share = number(file.get("added")) or 0.0, number(file.get("share")) or 0.0
        added += of_file
        lines[name] += of_file * min(max(share, 0.0), 1.0)
        mains[name] += 1
    return [
        {
            "name": name,
            "files": f"{mains[name]:,}",
            "share": f"{lines[name] / added * 100:.0f}" if added else "?",
            "bar": bar(lines[name] / added * 100 if added else 0.0),
        }
        for name in sorted(mains, key=lambda name: (-lines[name], name))
    ]


def _ai_share(part: Mapping[str, Any]) -> str | None:
    commits, of_commits = count(part.get("commits")), count(part.get("of_commits"))
    share = number(part.get("line_share"))
    if commits is None or not of_commits:
        return None
    text = f"An AI assistant is named as author or co-author of {commits:,} of {counted(of_commits, 'commit')}"
    return f"{text}." if share is None else f"{text}, which added {share * 100:.0f} % of the lines."
