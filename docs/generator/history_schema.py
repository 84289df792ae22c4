"""JSON Schema of a run's `history`, which `domain.history.document` makes."""

from collections.abc import Mapping

from docs.generator.json_schema import Schema, nullable, object_schema, with_description
from domain.history.document import LISTED_FILES, LISTED_PAIRS, LISTED_PEOPLE
from domain.history.hotspots import MAX_CANDIDATES

INTEGER: Schema = {"type": "integer", "minimum": 0}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
PERCENT: Schema = {"type": "number", "minimum": 0, "maximum": 100}
TEXT: Schema = {"type": "string"}


def definitions() -> dict[str, Schema]:
    """Return the definitions, by name; `history` is the whole."""
    return {
        "history": _history(),
        "counted_commits": _counted_commits(),
        "hotspots": _hotspots(),
        "hotspot": _hotspot(),
        "coupling": _coupling(),
        "coupled_pair": _coupled_pair(),
        "ownership": _ownership(),
        "truck_factor": _truck_factor(),
        "owned_file": _owned_file(),
        "ai_share": _ai_share(),
    }


def _part(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _described(**properties: tuple[Schema, str]) -> Schema:
    return object_schema({key: with_description(schema, meaning) for key, (schema, meaning) in properties.items()})


def _listed(name: str, limit: int) -> Schema:
    return {"type": "array", "maxItems": limit, "items": _part(name)}


def _history() -> Schema:
    parts: Mapping[str, str] = {
        "hotspots": "Files that change often and are in bad health.",
        "coupling": "Files that change in the same commits.",
        "ownership": "Who wrote the files, and who knows them.",
        "ai_share": "Commits in which an AI assistant took part; compare `author_type`, which the submitter declares.",
    }
    return _described(
        reason=(nullable(TEXT), "Why there is no history; then all other values are null. Null where there is one."),
        head_at=(
            nullable({"type": "string", "format": "date-time"}),
            "Date of HEAD's commit, from which ages count.",
        ),
        commits=(nullable(_part("counted_commits")), "Commits that count, and those that were left out."),
        remembered=(
            nullable({"type": "boolean"}),
            "Whether the next run may continue from these commits. One that is too long is read again as a whole.",
        ),
        **{name: (nullable(_part(name)), meaning) for name, meaning in parts.items()},
    )


def _counted_commits() -> Schema:
    return _described(
        counted=(INTEGER, "Commits that count."),
        merges=(INTEGER, "Merges."),
        bots=(INTEGER, "Commits by bots."),
        large=(INTEGER, "Commits of more than 1,000 Python files."),
        others=(INTEGER, "Commits that change no Python file."),
        not_coupled=(INTEGER, "Commits of more than 30 Python files: they count, but not for coupling."),
    )


def _hotspots() -> Schema:
    return _described(
        reason=(nullable(TEXT), "`insufficient history`, and of how many commits; then `files` is null."),
        files=(nullable(_listed("hotspot", MAX_CANDIDATES)), "The highest score first."),
    )


def _hotspot() -> Schema:
    return _described(
        path=(TEXT, "Path within the tree."),
        commits=(INTEGER, "Commits that changed the file."),
        weighted_commits=({"type": "number", "minimum": 0}, "The same, each weighted by recency: half after 90 days."),
        percentile=(PERCENT, "Mid-rank of the weighted commits among all source files."),
        health=(nullable(PERCENT), "Health score without churn; null where it is not known."),
        score=(nullable(PERCENT), "percentile * (100 - health) / 100; higher is worse."),
    )


def _coupling() -> Schema:
    return _described(
        commits=(INTEGER, "Commits that count for coupling."),
        tested=(INTEGER, "Pairs of files with at least 5 shared commits."),
        total=(INTEGER, "Coupled pairs, whatever the list's limit."),
        pairs=(
            _listed("coupled_pair", LISTED_PAIRS),
            f"Pairs of source files first, then by degree; at most {LISTED_PAIRS} are listed.",
        ),
    )


def _coupled_pair() -> Schema:
    return _described(
        left=(TEXT, "Path of one file."),
        right=(TEXT, "Path of the other file."),
        shared=(INTEGER, "Commits that changed both."),
        left_revisions=(INTEGER, "Commits that changed `left`."),
        right_revisions=(INTEGER, "Commits that changed `right`."),
        p_value=(SHARE, "Probability of as many shared commits by chance (Fisher's exact test, one-sided)."),
        degree=(PERCENT, "100 * shared / mean(revisions)."),
        confidence=(SHARE, "shared / min(revisions)."),
        kind=(
            {"enum": ["expected", "hidden", "unknown"]},
            "`expected`: one file imports the other, or is its test; `unknown`: imports were not measured.",
        ),
        because=({"enum": ["import", "test", None]}, "Why the coupling is expected."),
    )


def _ownership() -> Schema:
    return _described(
        people=(INTEGER, "People who are authors of source files, by degree of authorship."),
        truck_factor=(_part("truck_factor"), "Of all people."),
        truck_factor_without_silent=(_part("truck_factor"), "Without people who have not committed for 12 months."),
        total=(INTEGER, "Files with a history, whatever the list's limit."),
        files=(
            _listed("owned_file", LISTED_FILES),
            f"Source files first, then by added lines; at most {LISTED_FILES} are listed.",
        ),
    )


def _truck_factor() -> Schema:
    names = nullable({"type": "array", "maxItems": LISTED_PEOPLE, "items": TEXT})
    return _described(
        people=(
            INTEGER,
            "How many may leave until fewer than half of the source files have an author; 0: already so.",
        ),
        names=(names, f"At most {LISTED_PEOPLE} of them, the author of most files first; null for other readers."),
        covered=(SHARE, "Share of the source files that have an author before anybody leaves."),
    )


def _owned_file() -> Schema:
    return _described(
        path=(TEXT, "Path within the tree."),
        main_author=(nullable(TEXT), "Who added most lines; null for other readers than the owner."),
        share=(SHARE, "Share of the added lines that are the main author's."),
        added=(INTEGER, "Lines that commits added."),
        commits=(INTEGER, "Commits that changed the file."),
        people=(INTEGER, "People who changed it."),
        minor_authors=(INTEGER, "People of these with less than 5 % of the commits."),
        fragmentation=(SHARE, "1 - sum((a_i / n)^2), of n commits a_i are a person's: 0 for one author."),
        known_by=(INTEGER, "People who are its authors by degree of authorship."),
    )


def _ai_share() -> Schema:
    return _described(
        commits=(INTEGER, "Commits whose author or co-author is an AI assistant."),
        of_commits=(INTEGER, "All commits, without those of bots that are no assistants."),
        lines=(INTEGER, "Lines that these commits added."),
        of_lines=(INTEGER, "Lines that all of them added."),
        commit_share=(nullable(SHARE), "commits / of_commits."),
        line_share=(nullable(SHARE), "lines / of_lines."),
    )
