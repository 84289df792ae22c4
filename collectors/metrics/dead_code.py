"""Code that nothing in the tree uses, as vulture tells it."""

import ast
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any, ClassVar

from collectors.contract import Facts, Totals
from collectors.schemas import (
    Schema,
    any_of,
    booleans,
    counts,
    list_of,
    one_of,
    record,
    single,
    strings,
    strings_or_none,
    table,
)
from collectors.source.scopes import scope_lookup
from collectors.source.source_tree import SourceFile
from collectors.source.syntax_walk import walk_syntax_tree
from collectors.tools.vulture_visitor import Definition, VultureResult, VultureVisitor, parse_with_type_comments
from domain.metrics.report import Finding, Report
from domain.text import one_line

UNREACHABLE = "unreachable_code"
"""vulture's only type that asks for no name: such code is dead whatever the other files say."""

_WHITELIST = "_whitelist.py"


@cache
def whitelists() -> frozenset[str]:
    """Names of the modules for which vulture brings a list of what their users need not use visibly."""
    names = (entry.name for entry in files("vulture").joinpath("whitelists").iterdir())
    return frozenset(name.removesuffix(_WHITELIST) for name in names if name.endswith(_WHITELIST))


_FACTS_SCHEMA = any_of(
    record({"rejected": single(strings)}),
    record(
        {
            "candidates": table(strings, strings, counts, strings, strings_or_none, booleans),
            "used": list_of(strings),
            "whitelists": list_of(one_of(*whitelists())),
        },
        {"stopped": single(strings)},
    ),
)


@cache
def whitelisted(module: str) -> frozenset[str]:
    """The names that vulture takes for used as soon as any file imports `module`."""
    path = f"whitelists/{module}{_WHITELIST}"
    text = (pkgutil.get_data("vulture", path) or b"").decode()
    return frozenset(VultureVisitor(path, text).collect(walk_syntax_tree(ast.parse(text))).used)


class DeadCode:
    """Definitions whose name is used nowhere in the tree, and code that cannot be reached.

    Equals `vulture --min-confidence 60` run on the tree with its root at `/src`; the place counts, since vulture is
    lenient with files that look like tests from their absolute path.

    - `unused_symbols`: what vulture reports, over all files.
    - `suppressed`: what it would report without the `# noqa` comments, beyond that.
    - per file: `count` and `suppressed` of that file.

    vulture compares bare names: a definition is used when its name is read anywhere, in any file, as a variable, an
    attribute, in `__all__`, in a format string over `locals()`, and so on. So no file can be judged alone. The map
    takes down what a file defines and does not use itself, and the names that it uses; the reduce joins the names and
    sees what is left. As in vulture, a file with a type comment in the wrong place tells nothing at all, and one
    with a type comment that is no expression tells only what stands before it.
    """

    name: ClassVar[str] = "dead_code"
    tool: ClassVar[str] = "vulture"
    version: ClassVar[str] = version("vulture")
    revision: ClassVar[int] = 1
    fields: ClassVar[tuple[str, ...]] = ("unused_symbols", "suppressed")
    needs_syntax: ClassVar[bool] = True
    facts_schema: ClassVar[Schema] = _FACTS_SCHEMA

    def inspect(self, file: SourceFile) -> Facts:
        """`{candidates: [[typ, name, line, text, function, hidden]], used: [name], whitelists: [module]}`.

        With `stopped: reason` where vulture gives up half-way; `{rejected: reason}` alone where it cannot parse the
        file, since it parses type comments too.
        """
        try:
            commented = parse_with_type_comments(file.text)
        except (SyntaxError, ValueError) as error:
            return {"rejected": one_line(str(error), 200)}
        visitor = VultureVisitor(f"/src/{file.path}", file.text)
        found = visitor.collect(file.nodes) if commented is None else visitor.collect_with_type_comments(commented)
        owner = scope_lookup(file.scopes)
        candidates = [
            [item.typ, item.name, item.line, one_line(item.text), _shortened(owner(item.line)), item.suppressed]
            for item in _unused_here(found)
        ]
        facts = {
            "candidates": candidates,
            # Only names can match a definition; a string given to getattr may be anything.
            "used": sorted(name for name in found.used if name.isidentifier()),
            "whitelists": sorted(found.imported & whitelists()),
        }
        return facts if found.stop_reason is None else {**facts, "stopped": one_line(found.stop_reason, 200)}

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:  # noqa: ARG002 - the protocol
        """Join the used names, and report what none of them names."""
        accepted = {path: fact for path, fact in facts.items() if "rejected" not in fact}
        used = _used_names(accepted.values())
        findings: list[Finding] = []
        per_file = {}
        for path, fact in accepted.items():
            unused = [row for row in fact["candidates"] if row[0] == UNREACHABLE or row[1] not in used]
            shown = [_finding(path, row) for row in unused if not row[5]]
            per_file[path] = {"count": len(shown), "suppressed": len(unused) - len(shown)}
            findings.extend(shown)
        return Report(
            aggregate={
                "unused_symbols": len(findings),
                "suppressed": sum(row["suppressed"] for row in per_file.values()),
            },
            per_file=per_file,
            findings=findings,
            gaps=list(_gaps(facts)),
        )


def _shortened(function: str | None) -> str | None:
    """A class's name may be as long as its file, and would be repeated for everything inside."""
    return None if function is None else function[:200]


def _gaps(facts: Mapping[str, Facts]) -> Iterable[str]:
    for path, fact in facts.items():
        if "rejected" in fact:
            yield f"{path}: dead_code skipped: vulture cannot parse its type comments: {fact['rejected']}"
        elif "stopped" in fact:
            yield f"{path}: dead_code incomplete: vulture stops half-way: {fact['stopped']}"


def _unused_here(found: VultureResult) -> Iterable[Definition]:
    """What the file does not use itself, in order of lines; vulture counts a name once a line, type and file."""
    seen = set()
    for item in sorted(found.definitions, key=lambda item: item.line):
        if item.typ != UNREACHABLE:
            key = (item.typ, item.line, item.name)
            if item.name in found.used or key in seen:
                continue
            seen.add(key)
        yield item


def _used_names(facts: Iterable[Mapping[str, Any]]) -> set[str]:
    used: set[str] = set()
    modules: set[str] = set()
    for fact in facts:
        used.update(fact["used"])
        modules.update(fact["whitelists"])
    return used.union(*(whitelisted(module) for module in modules))


def _finding(path: str, row: list[Any]) -> Finding:
    typ, _, line, text, function, _ = row
    return Finding(
        metric=DeadCode.name,
        rule="unreachable-code" if typ == UNREACHABLE else f"unused-{typ}",
        path=path,
        line=line,
        message=text,
        function=function,
    )


COLLECTOR = DeadCode()
