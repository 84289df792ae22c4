"""Code that stands more than once, as PMD's copy/paste detector tells it."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from collectors.base import Facts, Totals
from collectors.cpd.corpus import Corpus, Place
from collectors.cpd.facts import PackedFile, pack
from collectors.cpd.lexer import LexicalError, decode, lex
from collectors.source_tree import SourceFile
from domain.metrics import Finding, Report
from domain.scoring import duplication_score
from domain.severity import density

Duplication = tuple[int, list[Place]]
"""How many tokens, and the places at which they stand."""


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
    an identifier beyond the Basic Multilingual Plane) is left out by PMD, so by us, and named in `gaps`. On very
    repetitive trees PMD's rule takes hours or all memory; how the number may differ then is told in
    `collectors.cpd.matcher`.
    """

    name: ClassVar[str] = "dupes"
    tool: ClassVar[str] = "pmd-cpd"
    version: ClassVar[str] = "7.28.0"
    revision: ClassVar[int] = 1
    fields: ClassVar[tuple[str, ...]] = ("duplicate_lines", "duplicate_pct", "duplication_score", "suppressed")
    needs_syntax: ClassVar[bool] = False

    def inspect(self, file: SourceFile) -> Facts:
        """The file's tokens, as `collectors.cpd.facts.pack` gives them, or `{error: reason}`."""
        try:
            return pack(lex(decode(file.data)))
        except LexicalError as error:
            return {"error": str(error)}

    def summarize(self, facts: Mapping[str, Facts], totals: Totals) -> Report:
        """Compare all files with each other, and count lines."""
        files = {path: PackedFile(fact) for path, fact in facts.items() if "error" not in fact}
        duplications = list(Corpus(files).matches())
        lines = _distinct_lines(place for _, places in duplications for place in places)
        duplicated, pct = sum(lines.values()), density(sum(lines.values()), totals.total_sloc)
        return Report(
            aggregate={
                "duplicate_lines": duplicated,
                "duplicate_pct": pct,
                "duplication_score": duplication_score(pct),
                "suppressed": sum(file.hidden for file in files.values()),
            },
            per_file={path: {"lines": lines.get(path, 0), "suppressed": file.hidden} for path, file in files.items()},
            findings=_findings(duplications),
            gaps=[f"{path}: dupes skipped: {fact['error']}" for path, fact in facts.items() if "error" in fact],
        )


def _distinct_lines(places: Iterable[Place]) -> dict[str, int]:
    """How many lines of each file lie inside at least one of the places."""
    counted: dict[str, int] = {}
    reached: dict[str, int] = {}
    for place in sorted(places, key=lambda place: place.first):
        after = reached.get(place.path, 0)
        if place.last > after:
            counted[place.path] = counted.get(place.path, 0) + place.last - max(place.first - 1, after)
            reached[place.path] = place.last
    return counted


def _findings(duplications: Iterable[Duplication]) -> list[Finding]:
    """One for each line on which a duplicated block begins, of the longest such block, by path and line."""
    blocks: dict[tuple[str, int], tuple[int, Finding]] = {}
    for tokens, places in duplications:
        for place in places:
            known = blocks.get((place.path, place.first))
            if known is None or known[0] < tokens:
                blocks[place.path, place.first] = tokens, _finding(tokens, place, places)
    return [blocks[key][1] for key in sorted(blocks)]


def _finding(tokens: int, place: Place, places: list[Place]) -> Finding:
    other = places[1] if place is places[0] else places[0]
    lines, more = place.last - place.first + 1, len(places) - 2
    amount = f"{lines} line{'s' * (lines > 1)} ({tokens} tokens)"
    return Finding(
        metric=Dupes.name,
        rule="duplicate-block",
        path=place.path,
        line=place.first,
        message=f"{amount} also at {other.path}:{other.first}" + (f" and {more} more" if more else ""),
    )


COLLECTOR = Dupes()
