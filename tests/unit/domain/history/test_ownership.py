from math import log

import pytest

from domain.history.commits import Changes
from domain.history.ownership import Contribution, FileOwnership, tally_ownership


def ownership(*rows: tuple[int, int]) -> FileOwnership:
    """Return the ownership of a file from (commits, added lines) of each person."""
    return FileOwnership({person: Contribution(commits, added) for person, (commits, added) in enumerate(rows)})


@pytest.mark.parametrize(
    ("commits", "fragmentation"),
    [
        # code-maat's own test, `calculates-entity-fragmentation-for-multiple-authors`: A, Z and C.
        ((3, 2, 1), 0.61),
        ((2, 1), 0.44),
        ((2,), 0.0),
    ],
)
def test_fragmentation_is_that_of_code_maat(commits: tuple[int, ...], fragmentation: float) -> None:
    assert round(ownership(*[(count, 0) for count in commits]).fragmentation, 2) == fragmentation


def test_main_author_is_that_of_code_maat() -> None:
    """code-maat's own tests: `identifies-main-developer-on-shared-entities`, and one without added lines."""
    names = ["at", "xy"]
    main, share = ownership((2, 12), (2, 15)).main_author(names)
    assert (names[main], round(share, 2)) == ("xy", 0.56)
    assert ownership((1, 0)).main_author(names) == (0, 0.0)


def test_of_equal_main_authors_the_order_of_people_does_not_decide() -> None:
    assert ownership((1, 5), (1, 5)).main_author(["b", "a"]) == (1, 0.5)
    assert ownership((1, 5), (2, 5)).main_author(["a", "b"]) == (1, 0.5)


def test_minor_authors_have_less_than_5_percent_of_the_commits() -> None:
    assert ownership((95, 0), (5, 0)).minor_authors == 0
    assert ownership((96, 0), (4, 0), (1, 0)).minor_authors == 2


def test_degree_of_authorship_worked_by_hand() -> None:
    """One created the file and changed it twice, the other changed it three times."""
    file = FileOwnership({0: Contribution(3, 10, created=True), 1: Contribution(3, 4)})
    degrees = file.degrees_of_authorship()
    assert degrees[0] == pytest.approx(3.293 + 1.098 + 0.328 - 0.321 * log(4))  # 4.274
    assert degrees[1] == pytest.approx(3.293 + 0.492 - 0.321 * log(3))  # 3.432: at least 3.293 and 0.75 * 4.274
    assert file.authors() == {0, 1}


def test_author_needs_both_the_absolute_and_the_relative_degree() -> None:
    # 1: 3.293 + 0.164 - 0.321 ln 1 = 3.457, of the creator's 3.293 + 1.098 - 0.321 ln 2 = 4.168: 0.829 of it.
    assert FileOwnership({0: Contribution(1, 9, created=True), 1: Contribution(1, 1)}).authors() == {0, 1}
    # 1: 3.293 + 0.164 - 0.321 ln 9 = 2.752
    assert FileOwnership({0: Contribution(9, 9, created=True), 1: Contribution(1, 1)}).authors() == {0}
    # 1: 3.293 + 0.328 - 0.321 ln 2 = 3.398, of 3.293 + 1.098 + 0.164 - 0.321 ln 3 = 4.202: 0.809 of it
    assert FileOwnership({0: Contribution(2, 9, created=True), 1: Contribution(2, 1)}).authors() == {0, 1}
    # Nobody reaches 3.293: three people who changed it once each have 3.293 + 0.164 - 0.321 ln 3 = 3.104.
    assert ownership((1, 1), (1, 1), (1, 1)).authors() == frozenset()


def test_creator_is_the_author_of_the_earliest_creation() -> None:
    rows = [
        ("a.py", 0, 30, 5, True), ("b.py", 0, 30, 1, False), ("a.py", 1, 20, 2, True), ("a.py", 2, 20, 3, True),
        ("a.py", 2, 40, 1, False),
    ]  # fmt: skip
    files = tally_ownership(Changes(*zip(*rows, strict=True)), ["x", "z", "y"])
    assert files["a.py"].contributions == {0: Contribution(1, 5), 1: Contribution(1, 2), 2: Contribution(2, 4, True)}
    assert files["b.py"].contributions == {0: Contribution(1, 1)}
    assert (files["a.py"].commits, files["a.py"].added) == (4, 11)
