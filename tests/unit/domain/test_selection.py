"""What of a source is measured: collectors and files."""

from typing import Any

import pytest

from domain.errors import InvalidInputError
from domain.selection import ALL, Selection

METRICS = ("lint", "dead_code", "size")


def selection(**document: Any) -> Selection:
    return Selection.from_json(document, METRICS)


def test_nothing_chosen_is_all() -> None:
    assert selection() == selection(collectors=None, include=[], exclude=None) == ALL
    assert ALL.requests("lint")
    assert ALL.selects("a/b.py")
    assert ALL.to_json() == {}
    assert not ALL.chooses_files


def test_files_are_included_and_then_excluded() -> None:
    chosen = selection(include=["src", "lib"], exclude=["**/tests"])
    paths = ("src/a.py", "lib/a.py", "src/tests/a.py", "tests/a.py", "a.py")
    assert list(filter(chosen.selects, paths)) == ["src/a.py", "lib/a.py"]
    assert not selection(exclude=["a.py"]).selects("a.py")
    assert selection(exclude=["a.py"]).selects("b.py")


def test_collectors_are_sorted_and_unique() -> None:
    chosen = selection(collectors=["size", "lint", "size"])
    assert chosen.collectors == ("lint", "size")
    assert [name for name in METRICS if chosen.requests(name)] == ["lint", "size"]
    assert Selection.from_json(chosen.to_json(), METRICS) == chosen


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"collectors": []}, "must be a list of at least one metric's name"),
        ({"collectors": "lint"}, "must be a list of at least one metric's name"),
        ({"collectors": [1]}, "must be a list of at least one metric's name"),
        ({"collectors": ["lint", "lynt"]}, "unknown metric 'lynt'; there are lint, dead_code, size"),
        ({"collectors": ["x" * 1_000_000]}, "unknown metric"),
        ({"collectors": ["l\0int"]}, "unknown metric"),
        ({"exclude": "tests"}, "the option exclude must be a list of globs"),
    ],
)
def test_other_documents_are_refused_in_one_line(document: Any, message: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        Selection.from_json(document, METRICS)
    assert message in str(refused.value)
    assert str(refused.value).isprintable()


def test_stored_options_that_are_not_valid_choose_all() -> None:
    documents: list[Any] = [None, [], "x", {"include": 7}, {"collectors": {}}, {"exclude": ["a" * 999]}]
    for document in documents:
        assert Selection.of_stored(document) == ALL
    assert Selection.of_stored({"gate": {}, "exclude": ["tests"]}) == Selection(exclude=("tests",))
    assert Selection.of_stored({"collectors": ["of another version"]}).collectors == ("of another version",)


def test_a_selection_covers_another_that_has_its_files() -> None:
    tests, lint = Selection(exclude=("tests",)), Selection(collectors=("lint",))
    assert ALL.covers(tests)
    assert not tests.covers(ALL)
    assert tests.covers(Selection(exclude=("tests",), collectors=("lint",)))
    assert not tests.covers(Selection(exclude=("tests/a",)))
    assert lint.has_same_files(ALL)
    assert not tests.has_same_files(ALL)
