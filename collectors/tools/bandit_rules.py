"""bandit's own tests, unchanged, and cheap checks of whether one of them can report anything.

The tests are loaded from the entry points of the distribution `bandit` itself, so plugins of other distributions do not
run. Each test has its default configuration.
"""

import ast
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import distribution
from typing import Any

from collectors.tools.bandit_library import BIDI_CHARACTERS, RE_CANDIDATES, blacklisting

Check = Callable[..., Any]
Keywords = tuple[str | None, ...]
"""Names of a call's keyword arguments; None stands for `**`."""

BLACKLIST_ID = "B001"


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One test: its id, bandit's function, and the arguments after the context, which are its configuration."""

    test_id: str
    check: Check
    configuration: tuple[Any, ...] = ()


def _entry_points(group: str) -> Iterable[tuple[str, Any]]:
    return [(point.name, point.load()) for point in distribution("bandit").entry_points.select(group=group)]


def _default_configuration(check: Any) -> tuple[Any, ...]:
    takes = getattr(check, "_takes_config", None)
    if takes is None:
        return ()
    return (importlib.import_module(check.__module__).gen_config(takes),)


def _blacklists() -> dict[str, list[Mapping[str, Any]]]:
    """Return the entries of bandit's blacklists by node type (`Call`, `Import`, `ImportFrom`)."""
    merged: dict[str, list[Mapping[str, Any]]] = {}
    for _, generate in _entry_points("bandit.blacklists"):
        for node_type, entries in generate().items():
            merged.setdefault(node_type, []).extend(entries)
    return merged


def _load() -> tuple[dict[str, tuple[Rule, ...]], dict[str, str]]:
    """Return the rules by what they check (a node type, `Str`, `Bytes` or `File`), and test ids by id and by name."""
    rules: dict[str, list[Rule]] = {}
    ids = {BLACKLIST_ID: BLACKLIST_ID}
    for name, check in _entry_points("bandit.plugins"):
        test_id = check._test_id  # noqa: SLF001 - set by bandit's decorators
        ids.update({test_id: test_id, name: test_id})
        for checked in check._checks:  # noqa: SLF001
            rules.setdefault(checked, []).append(Rule(test_id, check, _default_configuration(check)))
    for node_type, entries in BLACKLISTS.items():
        ids.update({key: entry["id"] for entry in entries for key in (entry["id"], entry["name"])})
        rules.setdefault(node_type, []).append(Rule(BLACKLIST_ID, blacklisting.blacklist, (BLACKLISTS,)))
    return {checked: tuple(found) for checked, found in rules.items()}, ids


BLACKLISTS = _blacklists()
RULES, TEST_IDS = _load()

RULES_USING_PARENTS = frozenset({"B104", "B105", "B108", "B608", "B703"})
"""Ids of the rules that read a node's parents. For strings the driver itself reads the parent."""

_BLACKLISTED_CALLS = frozenset(name for entry in BLACKLISTS["Call"] for name in entry["qualnames"])
_IMPORTING_CALLS = frozenset({"__import__", "importlib.import_module", "importlib.__import__"})


def _configured(test_id: str) -> Any:
    return next(rule.configuration[0] for found in RULES.values() for rule in found if rule.test_id == test_id)


_PROCESS_CALLS = frozenset(name for names in _configured("B602").values() for name in names)
TEMPORARY_DIRECTORIES = tuple(_configured("B108")["tmp_dirs"])


def _last_part(qualname: str) -> str:
    return qualname.rpartition(".")[2]


def _is_http_call(qualname: str) -> bool:
    return qualname.startswith(("requests", "httpx"))


CALL_PREFILTERS: Mapping[str, Callable[[str, Keywords], bool]] = {
    "B001": lambda name, _: name in _BLACKLISTED_CALLS or name in _IMPORTING_CALLS,
    "B102": lambda name, _: name == "exec",
    "B103": lambda name, _: "chmod" in _last_part(name),
    "B106": lambda _, keywords: any(word is None or RE_CANDIDATES.search(word) for word in keywords),
    "B113": lambda name, _: _is_http_call(name),
    "B201": lambda name, keywords: bool(keywords) and name.endswith(".run"),
    "B202": lambda name, _: "extractall" in _last_part(name),
    "B324": lambda name, _: "hashlib" in name or "crypt" in name,
    "B501": lambda name, keywords: bool(keywords) and _is_http_call(name),
    "B502": lambda _, keywords: "ssl_version" in keywords or "method" in keywords,
    "B504": lambda name, _: name == "ssl.wrap_socket",
    "B505": lambda name, _: _last_part(name).startswith("generate"),
    "B506": lambda name, _: "yaml" in name and _last_part(name) == "load",
    "B507": lambda name, _: _last_part(name) == "set_missing_host_key_policy",
    "B508": lambda name, _: name.startswith("pysnmp."),
    "B509": lambda name, _: name.startswith("pysnmp."),
    "B601": lambda name, _: _last_part(name) == "exec_command",
    "B602": lambda name, _: name in _PROCESS_CALLS,
    "B603": lambda name, _: name in _PROCESS_CALLS,
    "B604": lambda _, keywords: "shell" in keywords,
    "B605": lambda name, _: name in _PROCESS_CALLS,
    "B606": lambda name, _: name in _PROCESS_CALLS,
    "B607": lambda name, _: name in _PROCESS_CALLS,
    "B609": lambda name, _: name in _PROCESS_CALLS,
    "B610": lambda name, _: _last_part(name) == "extra",
    "B611": lambda name, _: _last_part(name) == "RawSQL",
    "B612": lambda name, _: name == "logging.config.listen",
    "B614": lambda name, _: name.startswith("torch."),
    "B615": lambda name, _: any(word in name for word in ("transformers", "datasets", "huggingface_hub")),
    "B701": lambda name, _: "jinja2" in name,
    "B702": lambda name, _: "mako" in name,
    "B703": lambda name, _: _last_part(name) == "mark_safe" or _last_part(name).startswith("Safe"),
    "B704": lambda name, _: _last_part(name) == "Markup",
}
"""A necessary condition for a report, by test id: where it is false, the test returns None and need not run.

The arguments are the called name, with imports resolved, and the names of the keyword arguments. A test without a
prefilter always runs.
"""


@lru_cache(maxsize=1 << 14)
def rules_for_call(qualname: str, keywords: Keywords) -> tuple[Rule, ...]:
    """Return the rules that may report a call of `qualname` with keyword arguments of these names."""
    return tuple(
        rule
        for rule in RULES["Call"]
        if rule.test_id not in CALL_PREFILTERS or CALL_PREFILTERS[rule.test_id](qualname, keywords)
    )


def rules_for_function(function: ast.FunctionDef) -> tuple[Rule, ...]:
    """Return the rules that may report a function: all of them examine default values only."""
    arguments = function.args
    return RULES["FunctionDef"] if arguments.defaults or arguments.kw_defaults else ()


def rules_for_text(text: str) -> tuple[Rule, ...]:
    """Return the rules that may report the text of a file as a whole."""
    bidirectional = not text.isascii() and any(character in text for character in BIDI_CHARACTERS)
    return tuple(rule for rule in RULES["File"] if bidirectional or rule.test_id != "B613")
