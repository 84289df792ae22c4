"""`python -m docs.generate`: write the reference pages from the code; `--check` fails where they are out of date."""
# ruff: noqa: INP001 - a script

import ast
import inspect
import re
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from pkgutil import resolve_name
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from collectors.contract import FileCollector, TreeCollector
from collectors.engine.discovery import discover
from domain.metrics import scoring, severity
from domain.sources import EXCLUDED_DIRECTORIES
from infrastructure.observability import prometheus_metrics as replica_metrics
from infrastructure.settings import Settings

FOLDER = Path(__file__).parent
NOTE = "<!-- Written by `make docs` from the code: change it there. -->"

SETTING_SECTIONS = {
    "database_url": "PostgreSQL",
    "redis_url": "Redis",
    "arq_max_jobs": "The worker",
    "min_free_disk_mb": "Backpressure",
    "completed_job_retention": "Cleanup",
    "max_concurrent_jobs_per_user": "Limits per user",
    "max_upload_mb": "Limits per source",
    "analysis_memory_mb": "Analysis",
    "git_allowed_hosts": "Network",
    "token_encryption_keys": "Tokens of private repositories",  # nosec B105 # words
    "webhook_secrets": "Webhooks",
    "status_host": "Health and metrics",
    "log_level": "Logs",
}
"""The first field of each section."""

DEFAULTS_IN_WORDS = {
    "scratch_dir": "`vibe8` in the system's directory for temporary files",
    "package_index_url": "the `pypi-simple` library's own",
}
TYPES_IN_WORDS = {int: "integer", float: "number", str: "text", Path: "path", SecretStr: "secret text"}

CONFIGURATION_HEAD = f"""\
# Configuration
{NOTE}

Every setting is an environment variable; no configuration file is read. `vibe8 doctor` checks the important ones. An
invalid value ends the command with exit code 2 and one line that names the variable, but not the value. Sizes in MB and
KB are powers of 1024; times are in seconds. Secrets never appear in a log or an error.
"""
CONFIGURATION_TAIL = """
## Other variables

| variable | meaning |
|---|---|
| `VIBE8_HOME` | Directory with the data of the servers of `vibe8 up`; the other commands look for them there. |
| `VIBE8_GIT_TOKEN` | Token of a private repository, for `vibe8 submit` and `vibe8 analyze`. |
"""

METRICS_HEAD = f"""\
# Metrics
{NOTE}

Two lists: [the ten metrics of analysed code](#the-ten-metrics-of-analysed-code), and
[what a replica tells Prometheus](#what-a-replica-tells-prometheus).

## The ten metrics of analysed code

- **One file set for all ten**: every regular `.py` file outside {{excluded}}.
  A file over `MAX_FILE_KB` is skipped. Both are named in `completeness`.
- **The tool's own number**: each equals what the tool's command line says of the same tree, wherever that tool
  finishes. No configuration inside the analysed tree has a say. Nothing of the tree is imported or executed.
- **Comments that silence a tool** (`noqa`, `nosec`) are honoured, and what they hide is counted beside it as
  `suppressed`.
- **A failed collector leaves nulls**, never a flattering default, and one line in `errors`. For each collector
  `completeness.collectors` says `ok`, `partial` (something named was left out) or `failed`.
- **A file that does not parse** keeps its place in `file_tree` with `parse_error`, and null where the syntax tree is
  needed.
- The versions of the tools, git's and Python's too, are in each run's `tool_versions`.
"""
REPLICA_HEAD = """
## What a replica tells Prometheus

On `/metrics` of `STATUS_HOST:STATUS_PORT`. Durations are in seconds, with histogram buckets from 0.01 to 600. Beside
these there are the usual `process_*` and `python_*` metrics of the worker process (without its children).

| metric | kind | labels | meaning |
|---|---|---|---|
"""


def main() -> int:
    """Exit code 1 where `--check` finds a page that is not what the code says."""
    pages = {FOLDER / "configuration.md": configuration_page(), FOLDER / "metrics.md": metrics_page()}
    if "--check" not in sys.argv[1:]:
        for path, text in pages.items():
            path.write_text(text)
        return 0
    stale = [path.name for path, text in pages.items() if not path.is_file() or path.read_text() != text]
    for name in stale:
        sys.stderr.write(f"docs/{name} is not what the code says: run `make docs`\n")
    return 1 if stale else 0


def configuration_page() -> str:
    """All settings, in the class's order, in sections."""
    lines = [CONFIGURATION_HEAD]
    meanings = _meanings()
    for name, field in Settings.model_fields.items():
        if name in SETTING_SECTIONS:
            lines.append(
                f"\n## {SETTING_SECTIONS[name]}\n\n| variable | type | default | meaning |\n|---|---|---|---|\n"
            )
        meaning = _cell(meanings.get(name, ""))
        lines.append(f"| `{name.upper()}` | {_type(field)} | {_default(name, field)} | {meaning} |\n")
    return "".join([*lines, CONFIGURATION_TAIL])


def _meanings() -> dict[str, str]:
    """Field to the docstring below it. pydantic could collect them too, but at each start of every command."""
    (definition,) = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(definition, ast.ClassDef)  # nosec B101 # noqa: S101 - what a class's source is
    found = {}
    for field, text in pairwise(definition.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            found[field.target.id] = inspect.cleandoc(ast.literal_eval(text.value))
    return found


def _type(field: FieldInfo) -> str:
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(annotation))
    if get_origin(annotation) is tuple:
        return f"list of {TYPES_IN_WORDS[get_args(annotation)[0]]}"
    (kind,) = [choice for choice in get_args(annotation) or (annotation,) if choice is not NoneType]
    if get_args(kind):  # Annotated[int, ...] | None
        kind = get_args(kind)[0]
    bounds = [f"{sign} {bound}" for sign, bound in _bounds(field)]
    return ", ".join([TYPES_IN_WORDS[kind], *bounds])


def _bounds(field: FieldInfo) -> Iterable[tuple[str, Any]]:
    constraints = list(field.metadata)
    for choice in get_args(field.annotation):
        constraints.extend(inner for item in get_args(choice)[1:] for inner in getattr(item, "metadata", ()))
    for constraint in constraints:
        for attribute, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<=")):
            if hasattr(constraint, attribute):
                yield sign, getattr(constraint, attribute)


def _default(name: str, field: FieldInfo) -> str:
    if name in DEFAULTS_IN_WORDS:
        return DEFAULTS_IN_WORDS[name]
    value = field.default
    if value is None or value == ():
        return "unset"
    return f"`{','.join(value)}`" if isinstance(value, tuple) else f"`{value}`"


def metrics_page() -> str:
    """The collectors by their docstrings, the scores, and the registry of a replica."""
    excluded = ", ".join(f"`{name}`" for name in sorted(EXCLUDED_DIRECTORIES))
    parts = [METRICS_HEAD.replace("{excluded}", excluded)]
    parts.extend(_collector(collector) for collector in discover())
    parts.extend((_scores(), _severities(), _health(), REPLICA_HEAD, *_replica_rows()))
    return "".join(parts)


def _collector(collector: FileCollector | TreeCollector) -> str:
    # git is the machine's own; all the others are pinned.
    tool = collector.tool if collector.tool == "git" else f"{collector.tool} {collector.version}"
    fields = ", ".join(f"`{name}`" for name in collector.fields)
    own = f"\n### `{collector.name}`\n\nTool: {tool}. In `metrics.{collector.name}`: {fields}.\n\n"
    text = _documentation(type(collector))
    return own + text + "\n" + "".join(_explained(name) for name in _names_of_ours(text))


def _names_of_ours(text: str) -> list[str]:
    return sorted(set(re.findall(r"`(collectors(?:\.\w+)+)`", text)))


def _explained(name: str) -> str:
    quoted = "\n".join(f"> {line}".rstrip() for line in _documentation(resolve_name(name)).splitlines())
    return f"\n`{name}`:\n\n{quoted}\n"


def _scores() -> str:
    functions = [
        function
        for name, function in vars(scoring).items()
        if name.endswith("_score") and name != scoring.health_score.__name__
    ]
    rows = "".join(f"| `{function.__name__}` | {_cell(_documentation(function))} |\n" for function in functions)
    return f"\n### Scores\n\nAll of 0..100, higher is better.\n\n| score | formula |\n|---|---|\n{rows}"


def _severities() -> str:
    rows = []
    for name, function in vars(severity).items():
        if inspect.isfunction(function) and function.__annotations__.get("return") is severity.Severity:
            if name.startswith("_"):
                continue
            rows.append(f"| {name} | {_cell(_documentation(function))} | {_thresholds(function)} |\n")
    head = "\n### Severities\n\nOf a file, in `file_tree`.\n\n| of | what | low, medium, high |\n|---|---|---|\n"
    return head + "".join(rows)


def _thresholds(function: Any) -> str:
    found = re.search(r"_(rising|falling)\(.*, (\d+), (\d+)\)", inspect.getsource(function))
    if found is None:
        return "as said"
    sign = {"rising": "<=", "falling": ">="}[found.group(1)]
    return f"{sign} {found.group(2)}, {sign} {found.group(3)}, beyond"


def _health() -> str:
    rows = []
    for name, weight in scoring.HEALTH_WEIGHTS.items():
        # A saturating penalty x / (x + half) is 0 at 0, and tells its half at 1.
        falls = weight.penalty(0.0) == 0.0
        penalty = f"x / (x + {round(1 / weight.penalty(1.0) - 1)})" if falls else "1 - x / 100"
        rows.append(f"| {name} | {weight.share:.2f} | {penalty} |\n")
    head = f"\n### Health score\n\nOf a file: {_documentation(scoring.health_score)}\n\nThe inputs: `complexity` "
    inputs = "the file's highest cyclomatic complexity; `maintainability` and `docs` 0..100; `lint`, `dead_code` and\n"
    rest = "`duplication` per 100 sloc; `security` 10 high + 5 medium + low; `churn` lines added and deleted.\n\n"
    return head + inputs + rest + "| input x | weight | penalty |\n|---|---|---|\n" + "".join(rows)


def _replica_rows() -> Iterable[str]:
    for value in vars(replica_metrics).values():
        if isinstance(value, MetricWrapperBase):
            (family,) = value.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ", ".join(f"`{label}`" for label in value._labelnames)  # noqa: SLF001 - nothing else tells
            yield f"| `{name}` | {family.type} | {labels or '-'} | {_cell(family.documentation)} |\n"


def _documentation(item: Any) -> str:
    return inspect.getdoc(item) or ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
