"""The page of the settings, from the class `Settings` and the docstrings below its fields."""

from collections.abc import Iterable
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from docs.generator.docstrings import field_meanings
from docs.generator.markdown import NOTE, cell
from infrastructure.settings import Settings

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
    "http_host": "The HTTP service",
    "log_level": "Logs",
}
"""The first field of each section."""

DEFAULTS_IN_WORDS = {
    "scratch_dir": "`vibe8` in the system's directory for temporary files",
    "package_index_url": "the `pypi-simple` library's own",
}
TYPES_IN_WORDS = {int: "integer", float: "number", str: "text", Path: "path", SecretStr: "secret text"}

HEAD = f"""\
# Configuration
{NOTE}

Every setting is an environment variable; no configuration file is read. `vibe8 doctor` checks the important ones. An
invalid value ends the command with exit code 2 and one line that names the variable, but not the value. Sizes in MB and
KB are powers of 1024; times are in seconds. Secrets never appear in a log or an error.
"""
TAIL = """
## Other variables

| variable | meaning |
|---|---|
| `VIBE8_HOME` | Directory with the data of the servers of `vibe8 up`; the other commands look for them there. |
| `XDG_CACHE_HOME` | Where `vibe8 analyze` keeps facts about files, in `vibe8/facts`; default `~/.cache`. |
| `VIBE8_GIT_TOKEN` | Token of a private repository, for `vibe8 submit` and `vibe8 analyze`. |
"""


def page() -> str:
    """Return the page: all settings in the order of the class, in sections."""
    lines = [HEAD]
    # pydantic can collect the docstrings too, but would do so at the start of every command.
    meanings = field_meanings(Settings)
    for name, field in Settings.model_fields.items():
        if name in SETTING_SECTIONS:
            lines.append(
                f"\n## {SETTING_SECTIONS[name]}\n\n| variable | type | default | meaning |\n|---|---|---|---|\n"
            )
        meaning = cell(meanings.get(name, ""))
        lines.append(f"| `{name.upper()}` | {_type(field)} | {_default(name, field)} | {meaning} |\n")
    return "".join([*lines, TAIL])


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
        for item in get_args(choice)[1:]:
            constraints.extend(item.metadata if isinstance(item, FieldInfo) else ())
    for constraint in constraints:
        match constraint:
            case Gt(gt=bound):
                yield ">", bound
            case Ge(ge=bound):
                yield ">=", bound
            case Lt(lt=bound):
                yield "<", bound
            case Le(le=bound):
                yield "<=", bound


def _default(name: str, field: FieldInfo) -> str:
    if name in DEFAULTS_IN_WORDS:
        return DEFAULTS_IN_WORDS[name]
    value = field.default
    if value is None or value == ():
        return "unset"
    return f"`{','.join(value)}`" if isinstance(value, tuple) else f"`{value}`"
