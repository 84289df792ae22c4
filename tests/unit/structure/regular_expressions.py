"""All regular expressions of the packages, how they are applied, and texts that make them backtrack."""

import ast
import dataclasses
import functools
import importlib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from collectors.cpd.lexer import LexicalError, lex
from collectors.source.line_scanner import scan_lines
from tests.unit.deploy.project_files import ROOT

_parser: Any = importlib.import_module("re._parser")
"""What the compiler of regular expressions itself reads; it has no published types."""

PACKAGES = ("worker", "collectors", "domain", "infrastructure")
METHODS = {"search", "match", "fullmatch", "finditer", "findall", "sub", "split"}
METHODS_OF = {
    **dict.fromkeys(("EXACT", "_POETRY_EXACT", "_FORMATS"), frozenset({"fullmatch"})),
    "_SYNTAX": frozenset({"match"}),
    **dict.fromkeys(("_CONNECTION", "_GIT_MESSAGES"), frozenset({"search"})),
}
"""Methods that are called on patterns in tables, and on those that are passed as arguments."""


def _lex(text: str) -> None:
    with suppress(LexicalError):
        lex(text)


CALLERS: Mapping[str, Callable[[Any], object]] = {"lexer._ITEM": _lex, "line_scanner._ITEM": scan_lines}
"""Patterns that are safe as their callers use them: those cut the text before, or stop at the first unknown item."""

LIMITS = {
    "manifest_files.MANIFEST_NAME_PATTERN": 255,
    "manifest_formats._FORMATS": 255,
    "newer_syntax._SYNTAX": 1_000,
}
"""Characters of a text, where the caller limits them: names of files, and the one line with a syntax error."""

_MAX_DEPTH = 4
_MAX_PREFIXES = 16

Text = Callable[[int], Any]
"""Makes a text, or bytes, of about so many characters."""


@dataclasses.dataclass(frozen=True)
class Use:
    """A pattern, where it is, and the methods that are called on it."""

    place: str
    pattern: re.Pattern[Any]
    methods: frozenset[str]

    def apply(self, text: Any) -> None:
        """Call every method that the code calls."""
        if self.place in CALLERS:
            CALLERS[self.place](text)
            return
        for method in self.methods:
            if method == "finditer":
                for _ in self.pattern.finditer(text):
                    pass
            elif method == "sub":
                self.pattern.sub(type(text)(), text)
            else:
                getattr(self.pattern, method)(text)


def all_uses() -> list[Use]:
    """Import every module, and return its patterns: named ones, those in tables, and those within functions."""
    modules = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")) if path.stem[0] != "_"]
    calls = [call for path in modules for call in _calls(path)]
    uses = {
        (call.text, 0): Use(f"{call.module}: {call.text!r}", re.compile(call.text), frozenset({call.method}))
        for call in calls
        if call.text is not None
    }
    for path in modules:
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for name, value in vars(module).items():
            for pattern in _patterns_in(value):
                use = Use(f"{path.stem}.{name}", pattern, _methods_of(name, path.stem, calls))
                uses.setdefault((pattern.pattern, pattern.flags), use)
    return sorted(uses.values(), key=lambda use: use.place)


@dataclasses.dataclass(frozen=True)
class _Call:
    """A call of a pattern's method: of `re.METHOD(text)`, or of `name.METHOD()`."""

    module: str
    name: str
    method: str
    text: Any


def _calls(path: Path) -> Iterator[_Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS):
            continue
        if isinstance(node.func.value, ast.Name):
            first = node.args[0] if node.func.value.id == "re" else None
            text = first.value if isinstance(first, ast.Constant) else None
            yield _Call(path.stem, node.func.value.id, node.func.attr, text)


def _methods_of(name: str, module: str, calls: Sequence[_Call]) -> frozenset[str]:
    """Return the methods that the module, else any module, calls on this name."""
    found = METHODS_OF.get(name)
    if found is None:
        named = [call for call in calls if call.name == name]
        found = frozenset(call.method for call in named if call.module == module)
        found = found or frozenset(call.method for call in named)
    return found


def _patterns_in(value: Any, depth: int = 0) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, list | tuple | set | frozenset | Mapping) and depth < _MAX_DEPTH:
        items = itertools.chain(value.keys(), value.values()) if isinstance(value, Mapping) else value
        for item in items:
            yield from _patterns_in(item, depth + 1)


def worst_texts(pattern: re.Pattern[Any]) -> Iterator[Text]:
    """Yield texts of which long parts match the beginning of the pattern, and then do not go on."""
    parts = _samples(_parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE & ~re.DEBUG))
    prefixes = list(dict.fromkeys("".join(parts[:count]) for count in range(1, len(parts) + 1)))[:_MAX_PREFIXES]
    characters = list(dict.fromkeys([*itertools.chain.from_iterable(parts), " ", "a", "\n"]))
    pairs = ["".join(pair) for pair in itertools.pairwise(characters)]
    make = functools.partial(_make, isinstance(pattern.pattern, bytes))
    for end in ("", "\x00", "\n"):
        for unit in dict.fromkeys([*prefixes, *characters, *pairs]):
            yield functools.partial(make, "", unit, end)
        for prefix, character in itertools.product(prefixes, characters):
            yield functools.partial(make, prefix, character, end)


def _make(as_bytes: bool, prefix: str, unit: str, end: str, size: int) -> Any:
    text = prefix + unit * (size // len(unit)) + end
    return text.encode("latin-1", "replace") if as_bytes else text


def _samples(parsed: Any) -> list[str]:
    """Return one sample for each part of the pattern, in order; alternatives follow each other."""
    found: list[str] = []
    for operation, argument in parsed:
        name = str(operation)
        if name == "LITERAL":
            found.append(chr(argument))
        elif name in ("IN", "NOT_LITERAL", "ANY", "CATEGORY"):
            found.append(_member(name, argument))
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            inner = _samples(argument[2])
            found += inner * max(1, min(argument[0], 3))
        elif name == "BRANCH":
            for branch in argument[1]:
                found += _samples(branch)
        elif name in ("SUBPATTERN", "ATOMIC_GROUP", "ASSERT", "ASSERT_NOT"):
            inner = argument if name == "ATOMIC_GROUP" else argument[-1]
            found += _samples(inner)
    return found


def _member(name: str, argument: Any) -> str:
    """Return a character of the class."""
    text = {"IN": None, "NOT_LITERAL": "a", "ANY": "a", "CATEGORY": None}[name]
    if text is not None:
        return text
    items = argument if name == "IN" else [("CATEGORY", argument)]
    for operation, value in items:
        match str(operation):
            case "LITERAL":
                return chr(value)
            case "RANGE":
                return chr(value[0])
            case "CATEGORY":
                return {"SPACE": " ", "DIGIT": "1"}.get(str(value).rpartition("_")[2], "a")
            case "NEGATE":
                return next((c for c in "a 0.-" if all(v != ord(c) for o, v in items if str(o) == "LITERAL")), "b")
    return "a"


def possessive_groups(pattern: re.Pattern[Any]) -> Iterator[Any]:
    """Yield the parsed bodies of the pattern's possessive repetitions that are more than one character."""
    todo: list[Any] = [_parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)]
    while todo:
        found = todo.pop()
        if isinstance(found, tuple) and found and str(found[0]) == "POSSESSIVE_REPEAT":
            body = found[1][2]
            if len(body) > 1 or str(body[0][0]) not in ("LITERAL", "NOT_LITERAL", "IN", "ANY"):
                yield body
        if isinstance(found, tuple | list | _parser.SubPattern):
            todo.extend(found)


def ends_with_failure(body: Any) -> bool:
    """Return whether the last alternative of a parsed group is `(?!)`."""
    kind, value = body[0]
    if str(kind) == "SUBPATTERN":
        return ends_with_failure(value[3])
    return (
        len(body) == 1 and str(kind) == "BRANCH" and str(value[1][-1]) in ("[(ASSERT_NOT, (1, []))]", "[(FAILURE, ())]")
    )
