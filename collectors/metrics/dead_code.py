"""`dead_code`: definitions that nothing uses and code that cannot be reached, by vulture."""

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
from domain.findings.identity import FindingIdentity, IdentityKind, TreeRules
from domain.findings.severity import UNREACHABLE_CODE, dead_code_severity
from domain.metrics.declaration import (
    AggregateField,
    Column,
    FileField,
    FileMetric,
    MetricDeclaration,
    Numbers,
    RatedNumber,
    RowFormat,
)
from domain.metrics.report import Finding, Report
from domain.metrics.rule_texts import FindingRules, RuleText
from domain.metrics.severity import Rising
from domain.text import JSON, one_line

UNREACHABLE = "unreachable_code"
"""vulture's only type that is not about a name: such code is dead whatever the other files contain."""

_WHITELIST = "_whitelist.py"


@cache
def whitelists() -> frozenset[str]:
    """Return the modules for which vulture has a whitelist: names that count as used once the module is imported."""
    names = (entry.name for entry in files("vulture").joinpath("whitelists").iterdir())
    return frozenset(name.removesuffix(_WHITELIST) for name in names if name.endswith(_WHITELIST))


_FACTS_SCHEMA = any_of(
    record({"rejected": single(strings)}),
    record(
        {
            "candidates": table(
                strings, strings, counts, strings, strings_or_none, booleans, counts, strings, strings_or_none
            ),
            "used": list_of(strings),
            "whitelists": list_of(one_of(*whitelists())),
        },
        {"stopped": single(strings)},
    ),
)


@cache
def whitelisted(module: str) -> frozenset[str]:
    """Return the names that vulture counts as used once any file imports `module`."""
    path = f"whitelists/{module}{_WHITELIST}"
    text = (pkgutil.get_data("vulture", path) or b"").decode()
    return frozenset(VultureVisitor(path, text).collect(walk_syntax_tree(ast.parse(text))).used)


METRIC = MetricDeclaration(
    name="dead_code",
    tool="vulture",
    homepage="https://github.com/jendrikseipp/vulture",
    version=version("vulture"),
    aggregate=(
        AggregateField(key="unused_symbols", meaning="Reports of vulture over all files."),
        AggregateField(key="suppressed", meaning="Further reports that `# noqa` comments hide."),
    ),
    file_metric=FileMetric(
        key="dead_code",
        fields=(
            FileField(key="count", number="count", meaning="Reports about this file."),
            FileField(
                key="suppressed", number="suppressed", meaning="Further reports about it that `# noqa` comments hide."
            ),
        ),
        rated=RatedNumber(number="count", per_100_sloc=True, meaning="Unused symbols per 100 sloc."),
        thresholds=Rising(1, 4),
        health_input="dead_code",
        column=Column(heading="dead", of=("count",)),
        position=60,
    ),
    row=RowFormat(text="{unused_symbols} unused symbols, {suppressed} suppressed", position=40),
    finding_identity=FindingIdentity(
        kind=IdentityKind.KIND_AND_NAME, tree_rules=TreeRules(most=True, exceptions=(UNREACHABLE_CODE,))
    ),
    finding_rules=FindingRules(
        default=RuleText(
            "Definition that nothing in the tree uses",
            "Unused code has to be read and kept working without any benefit. Uses by name only, such as "
            "`getattr`, frameworks or other projects, are not seen.",
            "Remove it, or mark a name that is used from outside with `# noqa`.",
        ),
        texts={
            UNREACHABLE_CODE: RuleText(
                "Code that is never executed",
                "A statement before it always leaves the block, so it has no effect. Often something else was meant.",
                "Remove the code, or correct the statement before it.",
            )
        },
    ),
)


class DeadCode:
    """Definitions whose name is used nowhere in the tree, and code that cannot be reached.

    Equals `vulture --min-confidence 60` run on the tree with its root at `/src`. The root matters: vulture reports less
    about files whose absolute path looks like that of a test.

    vulture compares bare names. A definition is used when its name is read in any file: as a variable, an attribute,
    in `__all__`, in a format string over `locals()`, and so on. No file can be judged alone. The map collects what a
    file defines and does not use itself, and the names that it uses; the reduce joins the used names and reports the
    definitions that are left.

    As in vulture, a file with a misplaced type comment contributes nothing, and one with a type comment that is not an
    expression contributes only what precedes that comment.
    """

    metric: ClassVar[MetricDeclaration] = METRIC
    needs_syntax: ClassVar[bool] = True
    facts_schema: ClassVar[Schema] = _FACTS_SCHEMA

    def inspect(self, file: SourceFile) -> Facts:
        """Return `{candidates: [row], used: [name], whitelists: [module]}`.

        A row is `[type, name, line, text, function, suppressed, end line, line hash, location hash]`.
        `stopped: reason` is added where vulture stops in the middle of the file. The result is `{rejected: reason}`
        where vulture cannot parse the file, since it also parses type comments.
        """
        try:
            commented = parse_with_type_comments(file.text)
        except (SyntaxError, ValueError) as error:
            return {"rejected": one_line(str(error), 200)}
        visitor = VultureVisitor(f"/src/{file.path}", file.text)
        found = visitor.collect(file.nodes) if commented is None else visitor.collect_with_type_comments(commented)
        owner = scope_lookup(file.scopes)
        candidates = [
            [
                item.typ,
                item.name,
                item.line,
                one_line(item.text),
                _shortened(owner(item.line)),
                item.suppressed,
                item.end_line,
                file.lines.line_hash(item.line),
                file.lines.location_hash(item.line),
            ]
            for item in _unused_here(found)
        ]
        facts = {
            "candidates": candidates,
            # Only an identifier can match a definition; a string passed to getattr may be anything.
            "used": sorted(name for name in found.used if name.isidentifier()),
            "whitelists": sorted(found.imported & whitelists()),
        }
        return facts if found.stop_reason is None else {**facts, "stopped": one_line(found.stop_reason, 200)}

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Join the used names, and report the definitions that are not among them."""
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
            aggregate=self.aggregate(per_file, totals),
            per_file=per_file,
            findings=findings,
            gaps=list(_gaps(facts)),
        )

    def aggregate(self, numbers: Mapping[str, Numbers], totals: Totals) -> Mapping[str, JSON]:  # noqa: ARG002 - the protocol
        """Add up the reports about these files. Names that any file of the tree uses count as used."""
        return {
            "unused_symbols": sum(row["count"] for row in numbers.values()),
            "suppressed": sum(row["suppressed"] for row in numbers.values()),
        }


def _shortened(function: str | None) -> str | None:
    """Shorten a dotted name: a class's name may be as long as its file, and is repeated for every candidate in it."""
    return None if function is None else function[:200]


def _gaps(facts: Mapping[str, Facts]) -> Iterable[str]:
    for path, fact in facts.items():
        if "rejected" in fact:
            yield f"{path}: dead_code skipped: vulture cannot parse its type comments: {fact['rejected']}"
        elif "stopped" in fact:
            yield f"{path}: dead_code incomplete: vulture stops half-way: {fact['stopped']}"


def _unused_here(found: VultureResult) -> Iterable[Definition]:
    """Yield the definitions that the file does not use itself, by line; vulture reports a name once a line and type."""
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
    typ, name, line, text, function, _, end_line, line_hash, location_hash = row
    rule = UNREACHABLE_CODE if typ == UNREACHABLE else f"unused-{typ}"
    return Finding(
        metric=METRIC.name,
        rule=rule,
        severity=dead_code_severity(rule),
        path=path,
        line=line,
        end_line=end_line,
        message=text,
        function=function,
        identity=one_line(f"{rule} {name}"),
        line_hash=line_hash,
        location_hash=location_hash,
    )


COLLECTOR = DeadCode()
