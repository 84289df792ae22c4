"""From the commits of a log to the facts of a history, by hand-worked histories without a repository."""

from collections.abc import Iterable

import pytest

from collectors.history.commit_tally import CommitTally
from collectors.history.history_facts import facts_of
from domain.history.commits import MAX_COUPLED_FILES, MAX_FILES, LoggedCommit
from domain.history.facts import HistoryFacts, LeftOut

NOW = 1_700_000_000
Change = tuple[str, int, int, bool]


def commit(
    *changes: Change, by: str = "ann", at: int = NOW, renames: Iterable[tuple[str, str]] = (), email: str | None = None
) -> LoggedCommit:
    address = f"{by}@example.org" if email is None else email
    return LoggedCommit(at, by, address, (), list(changes), list(renames))


def described(commits: Iterable[LoggedCommit], *present: str, merges: int = 0, others: int = 0) -> HistoryFacts:
    listed = list(commits)
    tally = CommitTally(head="0" * 40, now=NOW, key_commit="0" * 40, commits=len(listed) + others, merges=merges)
    tally.add(listed, frozenset(present), b"key")
    facts = facts_of(tally, {path: path for path in present}, remembered=True)
    assert facts is not None
    assert HistoryFacts.from_plain(facts.to_plain()) == facts
    return facts


def new(path: str, lines: int = 10) -> Change:
    return path, lines, 0, True


def edit(path: str, added: int = 1, deleted: int = 1) -> Change:
    return path, added, deleted, False


def test_files_have_their_commits_and_owners() -> None:
    facts = described(
        [commit(new("a.py"), new("gone.py")), commit(edit("a.py", 30), by="bob"), commit(edit("a.py"), by="bob")],
        "a.py",
    )
    assert list(facts.files) == ["a.py"]
    file = facts.files["a.py"]
    assert (file.commits, file.added, facts.names[file.main_author]) == (3, 41, "bob")
    assert (file.share, file.people, file.minor, file.weight) == (31 / 41, 2, 0, 3.0)


def test_moved_file_keeps_its_history_and_its_mover_owns_nothing() -> None:
    """As when requests moved to src/: the commit that moves a file neither writes nor changes it."""
    facts = described(
        [
            commit(new("a.py")),
            commit(edit("a.py", 5), at=NOW + 1, by="bob"),
            commit(("a.py", 0, 15, False), ("lib/a.py", 15, 0, True), by="mover", renames=[("a.py", "lib/a.py")]),
            commit(
                ("lib/a.py", 0, 15, False), ("src/a.py", 15, 0, True), by="mover", renames=[("lib/a.py", "src/a.py")]
            ),
            commit(edit("src/a.py", 2), by="cid"),
        ],
        "src/a.py",
    )
    file = facts.files["src/a.py"]
    assert (file.commits, file.added, file.people, facts.names[file.main_author]) == (3, 17, 3, "ann")
    assert facts.commits == 5


def test_path_that_exists_again_has_its_own_history() -> None:
    facts = described(
        [
            commit(new("a.py", 8)),
            commit(("a.py", 0, 8, False), ("b.py", 8, 0, True), renames=[("a.py", "b.py")]),
            commit(new("a.py", 3), by="bob"),
        ],
        "a.py",
        "b.py",
    )
    assert facts.files["a.py"].commits == 2
    assert "b.py" not in facts.files


def test_renames_in_a_circle_end() -> None:
    there = commit(("a.py", 0, 8, False), ("b.py", 8, 0, True), at=1, renames=[("a.py", "b.py")])
    back = commit(("b.py", 0, 8, False), ("a.py", 8, 0, True), at=2, renames=[("b.py", "a.py")])
    assert described([commit(new("a.py")), there, back], "c.py").files == {}
    assert described([commit(new("a.py")), there, back, commit(edit("b.py"))], "a.py").files["a.py"].commits == 2


def test_file_under_two_paths_in_one_commit_changed_once() -> None:
    facts = described(
        [
            commit(new("a.py", 3), new("b.py", 4)),
            commit(("a.py", 0, 3, False), ("b.py", 3, 0, False), at=NOW + 1, renames=[("a.py", "b.py")]),
        ],
        "b.py",
    )
    assert (facts.files["b.py"].commits, facts.files["b.py"].added) == (1, 7)


def test_what_does_not_count_is_left_out_and_counted() -> None:
    many = [new(f"m{number}.py") for number in range(MAX_COUPLED_FILES + 1)]
    mass = [new(f"m{number}.py") for number in range(MAX_FILES + 1)]
    facts = described(
        [
            commit(edit("m0.py")),
            commit(*many),
            commit(*mass, by="importer"),
            commit(edit("m0.py"), by="dependabot[bot]"),
            commit(*mass, by="renovate"),
            commit(("notes.md", 1, 0, True), ("venv/x.py", 1, 0, True)),
        ],
        "m0.py",
        merges=4,
        others=2,
    )
    assert facts.left_out == LeftOut(merges=4, bots=2, large=1, others=3, not_coupled=1)
    assert (facts.commits, facts.coupled_commits, facts.files["m0.py"].commits) == (2, 1, 2)


def test_people_with_one_address_are_one_person_under_the_most_used_name() -> None:
    facts = described(
        [
            commit(edit("a.py"), by="Ann", email="Ann@X.org", at=5),
            commit(edit("a.py"), by="A. Smith", email=" ann@x.org", at=7),
            commit(edit("a.py"), by="Ann", email="ANN@x.ORG", at=6),
            commit(edit("a.py"), by="bob@x.org", email="bob@x.org", at=1),
            commit(edit("a.py"), by="nobody", email="", at=1),
            commit(edit("a.py"), by="no one", email="", at=1),
            commit(edit("a.py"), by="", email="x@x.org", at=1),
        ],
        "a.py",
    )
    assert (facts.names, facts.last_seen) == (["unknown", "Ann", "bob", "no one", "nobody"], [1, 7, 1, 1, 1])
    assert facts.files["a.py"].people == 5


def test_assistants_are_counted_as_authors_and_as_co_authors() -> None:
    claude = ("Claude", "noreply@anthropic.com")
    facts = described(
        [
            commit(edit("a.py", 10)),
            commit(edit("a.py", 20))._replace(co_authors=[("Bob", "b@x.org"), claude]),
            commit(edit("a.py", 30), by="devin-ai-integration[bot]"),
            commit(edit("a.py", 40), by="dependabot[bot]"),
        ],
        "a.py",
    )
    assert facts.assisted == (2, 3, 50, 60)
    assert facts.left_out.bots == 2


@pytest.mark.parametrize("count", [0, 1])
def test_short_history_has_facts(count: int) -> None:
    facts = described([commit(new("a.py"))] * count, "a.py")
    assert (facts.commits, len(facts.files), list(facts.pairs), facts.assisted.of_commits) == (count, count, [], count)


def test_history_of_one_author_or_of_bots_only_has_facts() -> None:
    alone = described([commit(new("a.py")), commit(edit("a.py"))], "a.py")
    assert (alone.files["a.py"].fragmentation, list(alone.files["a.py"].authors)) == (0.0, [0])
    bots = described([commit(new("a.py"), by="github-actions")] * 3, "a.py")
    assert (bots.commits, bots.left_out.bots, bots.files) == (0, 3, {})


@pytest.mark.parametrize("at", [0, 2**32, 1 << 40])
def test_commits_of_1970_and_2106_have_facts(at: int) -> None:
    facts = described([commit(new("a.py"), at=at), commit(edit("b.py"))], "a.py", "b.py")
    assert facts.files["a.py"].weight == (0.5 ** (NOW / (90 * 86_400)) if at == 0 else 1.0)
