from domain.history.commits import Changes
from domain.history.ownership import tally_ownership
from domain.history.truck_factor import TruckFactor, truck_factor, without_people

NAMES = ["ann", "bob", "cid"]


def test_small_history_worked_by_hand() -> None:
    """Ann created four files, Bob two, Cid one; nobody changed another's file. Ann's loss leaves 3 of 7, fewer than
    half; without Cid, who is silent, that is so as well."""
    created = {0: "abcd", 1: "ef", 2: "g"}
    rows = [(f"{name}.py", person, 1, 1, True) for person, names in created.items() for name in names]
    changes = Changes(*zip(*rows, strict=True))
    authors = {path: file.authors() for path, file in tally_ownership(changes, NAMES).items()}
    assert truck_factor(authors, NAMES) == TruckFactor(people=[0], covered=1.0)
    assert truck_factor(without_people(authors, {2}), NAMES) == TruckFactor(people=[0], covered=6 / 7)
    assert truck_factor(without_people(authors, {0}), NAMES) == TruckFactor(people=[], covered=3 / 7)


def test_file_with_two_authors_is_lost_with_the_second() -> None:
    authors = {"a": {0, 1}, "b": {0, 1}, "c": {0}}
    # Without Ann 2 of 3 files have an author, without Bob too none has.
    assert truck_factor(authors, NAMES) == TruckFactor(people=[0, 1], covered=1.0)


def test_exactly_half_is_not_fewer_than_half() -> None:
    assert truck_factor({"a": {0}, "b": {1}}, NAMES).people == [0, 1]


def test_equal_authors_are_removed_by_name() -> None:
    assert truck_factor({"a": {0}, "b": {1}, "c": {2}}, ["c", "a", "b"]).people == [1, 2]


def test_files_without_an_author_count() -> None:
    assert truck_factor({"a": {0}, "b": (), "c": ()}, NAMES) == TruckFactor(people=[], covered=1 / 3)
    assert truck_factor({}, NAMES) == TruckFactor(people=[], covered=0.0)
