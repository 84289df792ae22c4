from array import array

from collectors.history import packed_tally
from collectors.history.commit_tally import CommitColumns, CommitTally, Person
from collectors.history.history_facts import facts_of
from collectors.history.packed_tally import pack_tally, unpack_tally
from tests.unit.collectors.metrics.test_churn import FakeHistory

COMMITS, FILES, PEOPLE = 100_000, 500, 40
NOW = 1_700_000_000


def long_tally() -> CommitTally:
    """Return a tally of commits that change one of 500 files each, by 40 people, over eleven years."""
    return CommitTally(
        head="0" * 40,
        now=NOW,
        key_commit="0" * 40,
        commits=COMMITS,
        paths={f"pkg/m{number}.py": number for number in range(FILES)},
        churn=[2] * FILES,
        people={Person(bytes([number]) * 16, f"author {number}"): number for number in range(PEOPLE)},
        columns=CommitColumns(
            at=array("q", range(NOW, NOW - COMMITS * 3_500, -3_500)),
            people=array("I", [number % PEOPLE for number in range(COMMITS)]),
            flags=array("B", bytes(COMMITS)),
            added=array("I", [1]) * COMMITS,
            sizes=array("H", [1]) * COMMITS,
            changed=array("I", [2 * (number * number % FILES) for number in range(COMMITS)]),
            lines=array("I", [1 + number % 90 for number in range(COMMITS)]),
        ),
    )


def test_history_of_100_000_commits_is_analysed_and_remembered() -> None:
    tally, history = long_tally(), FakeHistory()
    packed = pack_tally(tally, history, "2.39")
    assert packed is not None
    assert len(packed) < packed_tally.TALLY_BYTES_LIMIT
    assert unpack_tally(packed, history, "2.39") == tally
    facts = facts_of(tally, {path: path for path in tally.paths}, remembered=True)
    assert facts is not None
    assert (facts.commits, facts.coupled_commits, len(facts.names)) == (COMMITS, COMMITS, PEOPLE)
    assert sum(file.commits for file in facts.files.values()) == COMMITS
