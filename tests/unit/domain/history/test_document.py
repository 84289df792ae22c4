import json
from collections.abc import Collection, Mapping
from typing import Any

import jsonschema
import pytest

from docs.generator.result_schema import schema
from domain.history.coupling import CoupledPair
from domain.history.document import (
    LISTED_FILES,
    LISTED_PAIRS,
    NO_HISTORY,
    Tree,
    expectation,
    history_document,
    missing_history,
    without_names,
)
from domain.history.facts import AssistedShare, FileFacts, HistoryFacts, LeftOut
from domain.text import JSON

NOW = 1_700_000_000
YEAR = 365 * 86_400
VALIDATOR = jsonschema.Draft202012Validator({"$ref": "#/$defs/history", "$defs": schema()["$defs"]})


def file(weight: float = 1.0, *authors: int, added: int = 10, main: int = 0) -> FileFacts:
    return FileFacts(weight, 3, added, main, 0.5, 2, 1, 0.25, list(authors))


def facts(files: Mapping[str, FileFacts], **changes: Any) -> HistoryFacts:
    values: dict[str, Any] = {
        "now": NOW,
        "commits": 20,
        "left_out": LeftOut(1, 2, 3, 4, 5),
        "names": ["ann", "bob", "cid"],
        "last_seen": [NOW, NOW - YEAR, NOW - YEAR - 1],
        "files": files,
        "pairs": [],
        "coupled_total": 0,
        "coupled_commits": 20,
        "tested": 0,
        "assisted": AssistedShare(1, 20, 30, 60),
        "remembered": True,
    }
    return HistoryFacts(**(values | changes))


def document(
    found: HistoryFacts,
    roles: Mapping[str, str] | None = None,
    health: Mapping[str, float] | None = None,
    imports: Mapping[str, Collection[str]] | None = None,
) -> dict[str, Any]:
    known = dict.fromkeys(found.files, "source") if roles is None else roles
    tree = Tree(
        roles=known,
        health=(health or {}).get,
        imports=lambda paths: {path: (imports or {}).get(path, ()) for path in paths},
    )
    made = history_document(found, tree)
    VALIDATOR.validate(json.loads(json.dumps(made)))
    return made


def pair(left: str, right: str, shared: int = 8) -> CoupledPair:
    return CoupledPair(left, right, shared, 10, 10, 1e-9)


def test_hotspots_are_the_candidates_by_score() -> None:
    files = {"a.py": file(6.0), "b.py": file(5.0), "c.py": file(1.0), "t.py": file(50.0), "d.py": file(0.5)}
    roles: dict[str, str] = {**dict.fromkeys(files, "source"), "t.py": "test", "new.py": "source"}
    hotspots = document(facts(files), roles, {"a.py": 90, "b.py": 40})["hotspots"]
    assert [(each["path"], each["percentile"], each["health"], each["score"]) for each in hotspots["files"]] == [
        ("b.py", 70, 40, 42), ("a.py", 90, 90, 9),
    ]  # fmt: skip


def test_hotspot_without_a_health_score_comes_last_and_has_none() -> None:
    files = {"a.py": file(3.0), "b.py": file(3.0)}
    hotspots = document(facts({**files, "c.py": file(1.0)}), None, {"b.py": 100})["hotspots"]["files"]
    assert [(each["path"], each["score"]) for each in hotspots] == [("b.py", 0), ("a.py", None)]


def test_short_history_has_no_hotspots_but_owners() -> None:
    made = document(facts({"a.py": file(1.0, 0)}, commits=19))
    assert made["hotspots"] == {"reason": "insufficient history: 19 of 20 commits", "files": None}
    assert made["ownership"]["truck_factor"] == {"people": 1, "names": ["ann"], "covered": 1.0}


def test_pairs_of_source_files_come_first_and_the_list_is_cut() -> None:
    tests = [pair("a.py", f"t{number}.py", 10) for number in range(LISTED_PAIRS)]
    roles = {"a.py": "source", "b.py": "source", **{each.right: "test" for each in tests}}
    made = document(facts({}, pairs=[*tests, pair("a.py", "b.py", 4)], coupled_total=500), roles)["coupling"]
    assert (len(made["pairs"]), made["total"]) == (LISTED_PAIRS, 500)
    assert (made["pairs"][0]["right"], made["pairs"][0]["degree"], made["pairs"][0]["confidence"]) == ("b.py", 40, 0.4)


@pytest.mark.parametrize(
    ("left", "right", "imports", "because"),
    [
        ("a.py", "b.py", {}, None),
        ("a.py", "b.py", {"a.py": ["b.py"]}, "import"),
        ("a.py", "b.py", {"b.py": ["a.py"]}, "import"),
        ("pkg/a.py", "tests/test_a.py", {}, "test"),
        ("pkg/a.py", "tests/a_test.py", {}, "test"),
        ("pkg/a.py", "tests/a.py", {}, "test"),
        ("pkg/__init__.py", "tests/test_pkg.py", {}, "test"),
        ("pkg/a.py", "tests/test_ab.py", {}, None),
        ("tests/a.py", "tests/test_a.py", {}, None),
        ("pkg/a.py", "pkg/test_a.py", {}, None),
    ],
)
def test_coupling_is_expected_between_importers_and_with_tests(
    left: str, right: str, imports: Mapping[str, Collection[str]], because: str | None
) -> None:
    roles = {path: "test" if path.startswith("tests/") else "source" for path in (left, right)}
    assert expectation(pair(left, right), roles, imports) == because
    (shown,) = document(facts({}, pairs=[pair(left, right)]), roles, imports=imports)["coupling"]["pairs"]
    assert (shown["kind"], shown["because"]) == ("hidden" if because is None else "expected", because)


def test_truck_factor_looks_at_source_and_again_without_silent_people() -> None:
    files = {
        "a.py": file(1.0, 0),
        "b.py": file(1.0, 2),
        "c.py": file(1.0, 2),
        "d.py": file(1.0, 1),
        "t.py": file(1.0, 2),
    }
    made = document(facts(files), {**dict.fromkeys(files, "source"), "t.py": "test"})["ownership"]
    assert made["truck_factor"] == {"people": 2, "names": ["cid", "ann"], "covered": 1.0}
    assert made["truck_factor_without_silent"] == {"people": 1, "names": ["ann"], "covered": 0.5}  # cid is silent
    assert made["people"] == 3


def test_owned_files_are_source_first_then_by_lines_and_the_list_is_cut() -> None:
    files = {f"{number:04}.py": file(added=number) for number in range(LISTED_FILES)}
    files["t.py"] = file(added=9_999)
    made = document(facts(files), {**dict.fromkeys(files, "source"), "t.py": "test"})["ownership"]
    assert (made["total"], len(made["files"])) == (LISTED_FILES + 1, LISTED_FILES)
    assert made["files"][0]["path"] == f"{LISTED_FILES - 1:04}.py"


def test_shares_of_assistants_are_null_without_any_commit() -> None:
    made = document(facts({}, assisted=AssistedShare(0, 0, 0, 0)))["ai_share"]
    assert (made["commit_share"], made["line_share"]) == (None, None)
    made = document(facts({}))["ai_share"]
    assert (made["commit_share"], made["line_share"]) == (0.05, 0.5)


@pytest.mark.parametrize(("now", "head_at"), [(0, "1970-01-01"), (2**32, "2106-02-07"), (1 << 40, "9999-12-31")])
def test_odd_dates_are_shown(now: int, head_at: str) -> None:
    assert document(facts({"a.py": file()}, now=now))["head_at"].startswith(head_at)


def test_hostile_names_are_one_safe_line() -> None:
    names = ["\u202eevil\x1b[2J\n" + "x" * 1_000, "bob", "cid"]
    shown = document(facts({"a.py": file(1.0, 0)}, names=names))["ownership"]["files"][0]["main_author"]
    assert shown.isprintable()
    assert len(shown) <= 100
    assert shown.startswith("\\u202eevil\\x1b[2J ")


def test_other_readers_see_numbers_and_no_names() -> None:
    made = document(facts({"a.py": file(1.0, 0)}))
    hidden = without_names(made)
    VALIDATOR.validate(json.loads(json.dumps(hidden)))
    assert "ann" in json.dumps(made)
    assert not any(name in json.dumps(hidden) for name in ("ann", "bob", "cid"))
    assert hidden["ownership"]["truck_factor"]["people"] == 1
    missing: dict[str, JSON] = missing_history(NO_HISTORY)
    assert without_names(missing) == missing


def test_missing_history_has_a_reason_and_nothing_else() -> None:
    made = missing_history(NO_HISTORY)
    VALIDATOR.validate(made)
    assert made.keys() == document(facts({})).keys()
    assert {key for key, value in made.items() if value is not None} == {"reason"}
