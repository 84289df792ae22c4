"""`dupes`: duplicated lines, by the rule of PMD's copy/paste detector (CPD)."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from collectors.contract import Facts, Totals
from collectors.cpd.corpus import Comparison, Corpus, Duplication, Location
from collectors.cpd.facts import PACKED_SCHEMA, PackedFile, pack_file
from collectors.cpd.lexer import LexicalError, decode, lex
from collectors.schemas import Schema, any_of, record, single, strings
from collectors.source.source_tree import SourceFile
from domain.findings.identity import FindingIdentity, IdentityKind, TreeRules
from domain.findings.severity import duplication_severity
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
from domain.metrics.scoring import duplication_score
from domain.metrics.severity import Rising, density
from domain.text import JSON

METRIC = MetricDeclaration(
    name="dupes",
    tool="pmd-cpd",
    homepage="https://docs.pmd-code.org/latest/pmd_userdocs_cpd.html",
    version="7.28.0",
    aggregate=(
        AggregateField(
            key="duplicate_lines",
            meaning="Distinct lines of all files inside any duplicated block, from the line of its first token to that "
            "of its last; blank lines and comments between them count.",
        ),
        AggregateField(
            key="duplicate_pct",
            meaning="100 * duplicate_lines / sloc, which may exceed 100; 0.0 without source lines, "
            "null if no line can be counted.",
            json_type="number",
        ),
        AggregateField(
            key="duplication_score",
            meaning="max(0, 100 - duplicate_pct): 0..100, higher is better.",
            json_type="number",
        ),
        AggregateField(key="suppressed", meaning="Lines whose tokens `# CPD-OFF` leaves out of the comparison."),
    ),
    file_metric=FileMetric(
        key="duplication",
        fields=(
            FileField(key="count", number="lines", meaning="Duplicated lines of this file."),
            FileField(
                key="suppressed",
                number="suppressed",
                meaning="Lines of it that `# CPD-OFF` leaves out of the comparison.",
            ),
        ),
        rated=RatedNumber(number="lines", per_100_sloc=True, meaning="Duplicated lines per 100 sloc."),
        thresholds=Rising(5, 20),
        health_input="duplication",
        column=Column(heading="dupes", of=("count",)),
        position=70,
    ),
    row=RowFormat(
        text="{duplicate_lines} duplicated lines ({duplicate_pct:.1f} %)", score="duplication_score", position=80
    ),
    finding_identity=FindingIdentity(kind=IdentityKind.BLOCK_HASH, tree_rules=TreeRules(most=True)),
    finding_rules=FindingRules(
        default=RuleText(
            "Block of code that exists more than once",
            "A fault in the block has to be found and corrected in each copy.",
            "Move the block into a function that all places call.",
        )
    ),
)


class Dupes:
    """Lines inside any duplicated block of at least 50 tokens, within a file or between files.

    Equals `pmd cpd --minimum-tokens 50 --language python` on the tree. The rule is PMD's; the code is our own.

    PMD uses a Python 2 grammar in UTF-8. It leaves out a file with a character that this grammar does not have (`!` or
    `?` outside strings, an identifier beyond the Basic Multilingual Plane); so do we, and `gaps` names the file. On
    extremely repetitive trees PMD takes hours or all memory. The number is then approximate, and `gaps` says so: see
    `collectors.cpd.matcher.find_matches`.
    """

    metric: ClassVar[MetricDeclaration] = METRIC
    needs_syntax: ClassVar[bool] = False
    facts_schema: ClassVar[Schema] = any_of(record({"error": single(strings)}), PACKED_SCHEMA)

    def inspect(self, file: SourceFile) -> Facts:
        """Return the file's tokens as `collectors.cpd.facts.pack_file` packs them, or `{error: reason}`."""
        try:
            return pack_file(lex(decode(file.data)))
        except LexicalError as error:
            return {"error": str(error)}

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Compare all files with each other, and count the duplicated lines."""
        files = {path: PackedFile(fact) for path, fact in facts.items() if "error" not in fact}
        comparison = Corpus(files).compare()
        lines = _distinct_lines(place for found in comparison.duplications for place in found.locations)
        per_file = {
            path: {"lines": lines.get(path, 0), "suppressed": file.suppressed_lines} for path, file in files.items()
        }
        return Report(
            aggregate=self.aggregate(per_file, totals),
            per_file=per_file,
            findings=_findings(comparison.duplications),
            gaps=list(_gaps(facts, comparison)),
        )

    def aggregate(self, numbers: Mapping[str, Numbers], totals: Totals) -> Mapping[str, JSON]:
        """Count the lines of these files that are duplicated anywhere in the tree."""
        duplicated, base = sum(row["lines"] for row in numbers.values()), totals.density_base
        pct = None if base is None else density(duplicated, base)
        return {
            "duplicate_lines": duplicated,
            "duplicate_pct": pct,
            "duplication_score": duplication_score(pct),
            "suppressed": sum(row["suppressed"] for row in numbers.values()),
        }


def _distinct_lines(places: Iterable[Location]) -> dict[str, int]:
    """Return how many lines of each file are inside at least one of the places."""
    counts: dict[str, int] = {}
    counted_up_to: dict[str, int] = {}
    for place in sorted(places, key=lambda place: place.first_line):
        last = counted_up_to.get(place.path, 0)
        if place.last_line > last:
            counts[place.path] = counts.get(place.path, 0) + place.last_line - max(place.first_line - 1, last)
            counted_up_to[place.path] = place.last_line
    return counts


def _findings(duplications: Iterable[Duplication]) -> list[Finding]:
    """Return one finding for each line on which a duplicated block begins: the longest such block; by path and line."""
    longest: dict[tuple[str, int], tuple[Duplication, Location]] = {}
    for duplication in duplications:
        for place in duplication.locations:
            known = longest.get((place.path, place.first_line))
            if known is None or known[0].token_count < duplication.token_count:
                longest[place.path, place.first_line] = duplication, place
    return [_finding(*longest[key]) for key in sorted(longest)]


def _finding(duplication: Duplication, place: Location) -> Finding:
    places = duplication.locations
    other = places[1] if place is places[0] else places[0]
    lines, more = place.last_line - place.first_line + 1, len(places) - 2
    amount = f"{lines} line{'s' if lines > 1 else ''} ({duplication.token_count} tokens)"
    return Finding(
        metric=METRIC.name,
        rule="duplicate-block",
        severity=duplication_severity(lines),
        path=place.path,
        line=place.first_line,
        end_line=place.last_line,
        identity=duplication.identity,
        message=f"{amount} also at {other.path}:{other.first_line}" + (f" and {more} more" if more else ""),
    )


def _gaps(facts: Mapping[str, Facts], comparison: Comparison) -> Iterable[str]:
    for path, fact in facts.items():
        if "error" in fact:
            yield f"{path}: dupes skipped: {fact['error']}"
    if comparison.simplified_groups:
        yield f"dupes approximate: {comparison.simplified_groups} blocks repeat too often for PMD's full rule"


COLLECTOR = Dupes()
