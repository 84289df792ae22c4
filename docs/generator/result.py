"""The page that explains a result, from its schema and the collectors' declarations."""

from collections.abc import Iterable, Sequence

from collectors.engine.discovery import declarations
from docs.generator.json_schema import Schema
from docs.generator.markdown import NOTE, cell, table
from docs.generator.result_schema import schema

SECTIONS = {
    "job": (
        "Job",
        "What `vibe8 job`, `vibe8 jobs`, `vibe8 submit`, `vibe8 cancel` and `vibe8 retry` print with --json.",
    ),
    "source_metadata": ("Source metadata", ""),
    "webhook_delivery": ("Webhook delivery", ""),
    "run_source": ("Source of a run", ""),
    "local_source": ("Source of `vibe8 analyze`", ""),
    "directory": ("Directory", "A node of `file_tree`."),
    "file": ("File", "A node of `file_tree`."),
    "finding": ("Finding", "One problem at one place."),
    "completeness": ("Completeness", ""),
    "history": ("History", "[history.md](history.md) says how each value is computed."),
    "counted_commits": ("Counted commits", ""),
    "hotspots": ("Hotspots", ""),
    "hotspot": ("Hotspot", ""),
    "coupling": ("Coupling", ""),
    "coupled_pair": ("Coupled pair", ""),
    "ownership": ("Ownership", ""),
    "truck_factor": ("Truck factor", ""),
    "owned_file": ("Owned file", ""),
    "ai_share": ("AI share", ""),
    "comparison": (
        "Comparison",
        "A run compared with an earlier one: see [comparison.md](comparison.md).",
    ),
    "review": ("Review", "The answer of the quality gate: see [gate.md](gate.md)."),
    "policy": ("Policy", "What the gate asks."),
    "criterion": ("Criterion", "One condition of the policy, and its answer."),
    "insight": ("Insight", "[insights.md](insights.md) says what each type means."),
    "standing": ("Standing", "[insights.md](insights.md) says how it is computed."),
    "options": ("Options", ""),
}
"""Title and first sentence of each definition that has a table; `metrics.md` has those of the metrics."""

HEAD = f"""\
# Results
{NOTE}

`vibe8 analyze`, `vibe8 submit --wait` and `vibe8 result` print a result with `--json`; `worker.client.run_to_json`
makes one of a run. [result.schema.json](result.schema.json) is its JSON Schema; every result in the tests is held
against it. A later version may add keys: ignore those that you do not know.

**Null means not measured.** A failed collector leaves nulls, never a zero. `completeness` says what was left out, and
`errors` says why, one line each. A job that failed or has not ended has null in place of all that only an analysis
knows.

## Odd names

The names are those of stored rows (`jobs`, `analysis_runs`) and of programs that read them, so they stay.

"""
ODD_NAMES = {
    "`totalChurn`": "The only name in camel case. Lines added and deleted over the whole history, also in files that "
    "were deleted later.",
    "`source_kind` and `submission_type`: `github`": "Any git repository, whatever its host. `upload` is a file.",
    "`cyclomatic`, `complexity`": "One metric: `cyclomatic` for the tree, `complexity` for a file. So are `mi` and "
    "`maintainability`, `dupes` and `duplication`: see [the table](#metrics).",
    "`linting_score`, `complexity_score`, ...": "Scores of 0 to 100, higher is better. `docs` and `mi` have no further "
    "score: `coverage_pct` and `mi_avg` are one.",
    "`suppressed`": "What comments in the source hide (`noqa`, `nosec`, `CPD-OFF`), counted beside the rest.",
    "`analyzed`": "Files that parse. A file that does not parse is in the tree, with `parse_error`.",
    "`skipped`, `partial`": "`skipped` lists what was left out before the analysis. `partial` is a collector that "
    "could not measure something; `errors` names it.",
    "`source`": "Of a run its columns; of `vibe8 analyze` what was named; of a job without a result its "
    "`source_metadata`.",
    "`author_model`": "The model that wrote the code, or the person.",
    "`git_branch`": "Of a job: the branch that was asked for. Of a run: the branch that was fetched.",
    "`error_message`, `errors`, `attempt_errors`": "Why the job failed; what the analysis could not measure; why "
    "earlier attempts failed.",
    "`stage`: `asking the package index`": "The tree is analysed; answers about its packages are missing.",
    "`stage`: `waiting to fetch`": "As many other sources are being fetched as the worker has memory for.",
    "`stage`: `waiting for a core`": "The source is there; all cores of the worker are busy.",
    "`notices`, `notice_id`": "Webhook deliveries, and the header `webhook-id` of one.",
    "`collect.NAME`, `wall.NAME`": "Keys of `timings_ms`: the CPU time of a collector, and the wall time until its "
    "last result.",
}


def page() -> str:
    """Return the page."""
    whole = schema()
    definitions = whole["$defs"]
    sections = [_section(title, text, definitions[name]) for name, (title, text) in SECTIONS.items()]
    odd = table(("name", "explanation"), ODD_NAMES.items())
    return "".join((HEAD, odd, "\n## Result\n\n", _table(whole), _metrics(), *sections))


def _metrics() -> str:
    rows = [
        (f"`{metric.name}`", _keys(metric.keys), f"`{metric.file_metric.key}`" if metric.file_metric else "-")
        for metric in declarations()
    ]
    return "\n## Metrics\n\n[metrics.md](metrics.md) says what each key means.\n\n" + table(
        ("in `metrics`", "its keys", "in `metrics` of a file"), rows
    )


def _keys(keys: Iterable[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


def _section(title: str, text: str, definition: Schema) -> str:
    sentences = [each for each in (text, definition.get("description", "")) if each]
    head = f"\n## {title}\n\n" + (f"{' '.join(sentences)}\n\n" if sentences else "")
    return head + _table(definition)


def _table(definition: Schema) -> str:
    required = definition.get("required", ())
    rows: list[Sequence[str]] = []
    for key, value in definition["properties"].items():
        optional = " (may be absent)" if required and key not in required else ""
        rows.append((f"`{key}`", cell(_type(value)) + optional, cell(_meaning(value))))
    return table(("key", "type", "meaning"), rows)


def _meaning(value: Schema) -> str:
    if "description" in value:
        return str(value["description"])
    return " ".join(_inner(name) for name in _references(value))


def _inner(name: str) -> str:
    title = SECTIONS.get(name, ("Metrics", ""))[0]
    return f"See [{title.lower()}](#{title.lower().replace(' ', '-').replace('`', '')})."


def _references(value: Schema) -> list[str]:
    found = [str(value["$ref"]).rpartition("/")[2]] if "$ref" in value else []
    for choice in [*value.get("anyOf", ()), *value.get("allOf", ())]:
        found += _references(choice)
    return found


def _type(value: Schema) -> str:
    """Return the type in words, such as `string or null`."""
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return " or ".join("null" if choice is None else f"`{choice}`" for choice in value["enum"])
    if "$ref" in value:
        return "object"
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_type(choice) for choice in value["anyOf"]))
    kinds = value.get("type", "object")
    names = [kinds] if isinstance(kinds, str) else kinds
    words = " or ".join("list" if name == "array" else str(name) for name in names)
    return words.replace("string", "time") if value.get("format") == "date-time" else words
