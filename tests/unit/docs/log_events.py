"""The log events in the code: their names, levels and fields, read from the calls of each module's logger."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.unit.deploy.project_files import ROOT

PACKAGES = ("worker", "infrastructure", "collectors", "domain")
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
NOT_FIELDS = {"exc_info"}
OUTAGES = "OutageLog"
"""The class that logs the event it is made with, as a warning with its reason."""


@dataclass
class LogEvent:
    """What the code logs under one name. `open_ended` is whether a call passes fields as `**mapping`."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    open_ended: bool = False


class UnresolvedEventError(Exception):
    """The name of an event is computed in a way that this module does not follow."""


def logged_events(root: Path = ROOT) -> Mapping[str, LogEvent]:
    """Read the events of all modules. Raises UnresolvedEventError."""
    events: dict[str, LogEvent] = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            for name, levels, call in _calls(path):
                event = events.setdefault(name, LogEvent())
                event.levels |= levels
                named = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
                event.fields |= named - NOT_FIELDS
                event.open_ended |= any(keyword.arg is None for keyword in call.keywords)
    return events


def _calls(path: Path) -> Iterator[tuple[str, set[str], ast.Call]]:
    module = ast.parse(path.read_text())
    yield from _outages(module)
    if not any(isinstance(node, ast.Assign) and "get_logger" in ast.unparse(node.value) for node in module.body):
        return
    for function, call in _calls_by_function(module):
        levels = _levels(call.func)
        if levels:
            if ast.unparse(call.args[0]) == "self._event" and _defines_outages(module):
                continue  # named where the outage's log is made
            for name in _names(call.args[0], function, module, path):
                yield name, levels, call


def _defines_outages(module: ast.Module) -> bool:
    return any(isinstance(node, ast.ClassDef) and node.name == OUTAGES for node in module.body)


def _outages(module: ast.Module) -> Iterator[tuple[str, set[str], ast.Call]]:
    """Yield the event of each outage's log, with its reason and the fields that the module gives to `log_begin`."""
    calls = [node for node in ast.walk(module) if isinstance(node, ast.Call)]
    begins = [call for call in calls if ast.unparse(call.func).endswith(".log_begin")]
    fields = [ast.keyword("reason", ast.Constant("")), *(keyword for call in begins for keyword in call.keywords)]
    for call in calls:
        if ast.unparse(call.func) == OUTAGES:
            yield ast.literal_eval(call.args[0]), {"warning"}, ast.Call(call.func, [], fields)


def _calls_by_function(module: ast.Module) -> Iterator[tuple[ast.AST, ast.Call]]:
    """Yield each call once, with the innermost function around it."""
    pending: list[tuple[ast.AST, ast.AST]] = [(module, module)]
    while pending:
        node, function = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node
        if isinstance(node, ast.Call):
            yield function, node
        pending += [(child, function) for child in ast.iter_child_nodes(node)]


def _levels(function: ast.expr) -> set[str]:
    if isinstance(function, ast.IfExp):
        return _levels(function.body) | _levels(function.orelse)
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "log":
        return {LEVELS[function.attr]}
    return set()


def _names(event: ast.expr, function: ast.AST, module: ast.Module, path: Path) -> Sequence[str]:
    """Resolve the expression of an event's name: a text, a choice, a local variable, a parameter, an attribute."""
    found: list[ast.expr] = []
    match event:
        case ast.Constant(value=str(name)):
            return [name]
        case ast.IfExp():
            found = [event.body, event.orelse]
        case ast.Name(id=name):
            found = [*_assigned(name, function), *_passed(name, function, module)]
        case ast.Attribute(attr=name):
            found = [
                keyword.value
                for node in ast.walk(module)
                if isinstance(node, ast.Call)
                for keyword in node.keywords
                if keyword.arg == name
            ]
    if not found:
        raise UnresolvedEventError(f"{path}:{event.lineno}: {ast.unparse(event)}")
    return [name for each in found for name in _names(each, function, module, path)]


def _assigned(name: str, function: ast.AST) -> Sequence[ast.expr]:
    return [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]
    ]


def _passed(name: str, function: ast.AST, module: ast.Module) -> Sequence[ast.expr]:
    """List what the module's calls of the function pass for its parameter."""
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return []
    parameters = [argument.arg for argument in function.args.args if argument.arg != "self"]
    if name not in parameters:
        return []
    place = parameters.index(name)
    return [
        node.args[place]
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] == function.name
        and len(node.args) > place
    ]
