"""Code that stands more than once, as PMD's copy/paste detector tells it."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from collectors.contract import Facts, Totals
from collectors.cpd.corpus import Comparison, Corpus, Duplication, Location
from collectors.cpd.facts import PACKED_SCHEMA, PackedFile, pack_file
from collectors.cpd.lexer import LexicalError, decode, lex
from collectors.schemas import Schema, any_of, record, single, strings
from collectors.source.source_tree import SourceFile
from domain.metrics.report import Finding, Report
from domain.metrics.scoring import duplication_score
from domain.metrics.severity import density


class Dupes:
    """Lines inside any duplication of at least 50 tokens, within a file or between files.

    Equals `pmd cpd --minimum-tokens 50 --language python` on the tree. The rule is PMD's, the code is not.

    - `duplicate_lines`: distinct lines, over all files, of any duplicated block, from the line of its first token to
      that of its last; blank lines and comments between count.
    - `duplicate_pct`: 100 * duplicate_lines / sloc, which may pass 100; 0.0 without source lines.
    - `duplication_score`: max(0, 100 - duplicate_pct).
    - `suppressed`: lines whose tokens `# CPD-OFF` takes out of the comparison.
    - per file: `lines` and `suppressed` of that file.

    PMD reads a Python 2 grammar in UTF-8. A file with a character that this does not know (`!` or `?` outside strings,
    an identifier beyond the Basic Multilingual Plane) is left out by PMD, so by us, and named in `gaps`. On the most
    repetitive trees PMD takes hours or all memory. The number is then approximate, and `gaps` says so: see
    `collectors.cpd.matcher.find_matches`.
    """

    name: ClassVar[str] = "dupes"
    tool: ClassVar[str] = "pmd-cpd"
    version: ClassVar[str] = "7.28.0"
    revision: ClassVar[int] = 1
    fields: ClassVar[tuple[str, ...]] = ("duplicate_lines", "duplicate_pct", "duplication_score", "suppressed")
    needs_syntax: ClassVar[bool] = False
    facts_schema: ClassVar[Schema] = any_of(record({"error": single(strings)}), PACKED_SCHEMA)

    def inspect(self, file: SourceFile) -> Facts:
        """The file's tokens, as `collectors.cpd.facts.pack_file` gives them, or `{error: reason}`."""
        try:
            return pack_file(lex(decode(file.data)))
        except LexicalError as error:
            return {"error": str(error)}

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Compare all files with each other, and count lines."""
        files = {path: PackedFile(fact) for path, fact in facts.items() if "error" not in fact}
        comparison = Corpus(files).compare()
        lines = _distinct_lines(place for found in comparison.duplications for place in found.locations)
        duplicated, pct = sum(lines.values()), density(sum(lines.values()), totals.total_sloc)
        return Report(
            aggregate={
                "duplicate_lines": duplicated,
                "duplicate_pct": pct,
                "duplication_score": duplication_score(pct),
                "suppressed": sum(file.suppressed_lines for file in files.values()),
            },
            per_file={
                path: {"lines": lines.get(path, 0), "suppressed": file.suppressed_lines} for path, file in files.items()
            },
            findings=_findings(comparison.duplications),
            gaps=list(_gaps(facts, comparison)),
        )


def _distinct_lines(places: Iterable[Location]) -> dict[str, int]:
    """How many lines of each file lie inside at least one of the places."""
    counted: dict[str, int] = {}
    reached: dict[str, int] = {}
    for place in sorted(places, key=lambda place: place.first_line):
        after = reached.get(place.path, 0)
        if place.last_line > after:
            counted[place.path] = counted.get(place.path, 0) + place.last_line - max(place.first_line - 1, after)
            reached[place.path] = place.last_line
    return counted


def _findings(duplications: Iterable[Duplication]) -> list[Finding]:
    """One for each line on which a duplicated block begins, of the longest such block, by path and line."""
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
        metric=Dupes.name,
        rule="duplicate-block",
        path=place.path,
        line=place.first_line,
        message=f"{amount} also at {other.path}:{other.first_line}" + (f" and {more} more" if more else ""),
    )


def _gaps(facts: Mapping[str, Facts], comparison: Comparison) -> Iterable[str]:
    for path, fact in facts.items():
        if "error" in fact:
            yield f"{path}: dupes skipped: {fact['error']}"
    if comparison.simplified_groups:
        yield f"dupes approximate: {comparison.simplified_groups} blocks repeat too often for PMD's full rule"


COLLECTOR = Dupes()
