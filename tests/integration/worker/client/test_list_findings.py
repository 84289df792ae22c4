"""Pages of a run's findings: every filter, held against the same filter in Python."""

import itertools
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.errors import InvalidInputError, NotFoundError
from domain.findings.roles import Role
from domain.findings.severity import SEVERITIES, FindingSeverity
from domain.findings.states import FindingState
from infrastructure.database.engine import Database
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from tests.fixtures.jobs import new_run
from worker.client import Client

PATHS = ("src/a.py", "src/b_c.py", "src/sub/b%c.py", "src/bxc.py", "tests/test_a.py", "docs/conf.py", "a\\b.py")
ROLES = {"tests/test_a.py": "test", "docs/conf.py": "docs"}
METRICS = ("lint", "security", "docs")
STATES = ("new", "unchanged", "updated")


def finding(number: int, path: str, metric: str, severity: str, state: str) -> dict[str, Any]:
    return {
        "metric": metric, "rule": f"R{number}", "severity": severity, "path": path, "line": number, "message": "m",
        "state": state,
    }  # fmt: skip


ITEMS = [
    finding(number, *values)
    for number, values in enumerate(itertools.product(PATHS, METRICS, ("info", "low", "medium", "high"), STATES))
]
TREE = {
    "name": "root", "type": "directory", "path": "",
    "children": [
        {"name": "d", "type": "directory", "path": "d", "children": [
            {"name": path, "type": "file", "path": path, "role": ROLES.get(path, "source"),
             "metrics": {"lint": {"type": "file", "role": "test", "path": "src/a.py"}}}
        ]}
        for path in PATHS
    ],
}  # fmt: skip
LISTED = {"total": len(ITEMS) + 7, "items": ITEMS, "cut": {}, "metrics": {name: {} for name in METRICS}}
COMPARED: dict[str, Any] = {"counts": {}}


async def stored(database: Database, user_id: UUID, *, compared: bool = True, **changes: Any) -> UUID:
    values = {"findings": LISTED, "file_tree": TREE} | changes
    run = replace(new_run(user_id, uuid.uuid4().hex, **values), comparison=COMPARED if compared else None)
    async with database.unit_of_work() as work:
        await RunRepository(work).insert_many([SerializedRun.of(run)])
    return run.run_id


def ordinals(findings: Sequence[Mapping[str, Any]]) -> list[int]:
    return [item["ordinal"] for item in findings]


def expected(**wanted: Any) -> list[int]:
    """Return the ordinals of the findings that match."""
    path = wanted.get("path")
    pattern = None if path is None else re.escape(path).replace(r"\*", ".*").replace(r"\?", ".")
    return [
        ordinal
        for ordinal, item in enumerate(ITEMS, start=1)
        if (not wanted.get("states") or item["state"] in wanted["states"])
        and FindingSeverity(item["severity"]).rank >= wanted.get("severity", FindingSeverity.INFO).rank
        and (not wanted.get("metrics") or item["metric"] in wanted["metrics"])
        and (pattern is None or re.fullmatch(pattern, item["path"]))
        and (not (roles := wanted.get("roles", ("source",))) or ROLES.get(item["path"], "source") in roles)
    ]


FILTERS: Sequence[dict[str, Any]] = (
    {},
    {"roles": ()},
    {"roles": (Role.TEST, Role.DOCS)},
    {"states": (FindingState.NEW,)},
    {"states": (FindingState.NEW, FindingState.UPDATED), "metrics": ("lint", "docs")},
    *({"severity": severity} for severity in SEVERITIES),
    {"path": "src/*", "severity": FindingSeverity.MEDIUM, "metrics": ("security",)},
    {"path": "src/b_c.py"},
    {"path": "src/b?c.py"},
    {"path": "*b%c*"},
    {"path": "a\\b.py"},
    {"path": "*\\*"},
    {"path": "", "roles": ()},
)


@pytest.mark.parametrize("wanted", FILTERS, ids=str)
async def test_each_filter_chooses_what_it_says(
    database: Database, client: Client, user_id: UUID, wanted: dict[str, Any]
) -> None:
    run_id = await stored(database, user_id)
    page = await client.list_findings(user_id, run_id, **wanted, limit=1_000)
    assert ordinals(page.findings) == expected(**wanted)
    assert (page.matching, page.next, page.unlisted) == (len(page.findings), None, 7)
    for item in page.findings:
        assert {key: value for key, value in item.items() if key not in ("ordinal", "role")} == ITEMS[
            item["ordinal"] - 1
        ]
        assert item["role"] == ROLES.get(item["path"], "source")
    all_roles = expected(**{**wanted, "roles": ()})
    assert sum(page.other_roles.values()) == len(all_roles) - page.matching


async def test_pages_cover_the_list_once_and_in_order(database: Database, client: Client, user_id: UUID) -> None:
    run_id = await stored(database, user_id)
    seen: list[int] = []
    after = None
    while True:
        page = await client.list_findings(user_id, run_id, metrics=("lint",), limit=7, after=after)
        assert page.matching == len(expected(metrics=("lint",)))
        seen += ordinals(page.findings)
        if page.next is None:
            break
        assert len(page.findings) == 7
        after = page.next
    assert seen == expected(metrics=("lint",))


@pytest.mark.parametrize("after", [-1, 10**30, len(ITEMS)])
@pytest.mark.parametrize("limit", [-1, 0, 10**30])
async def test_any_cursor_and_limit_are_accepted(
    database: Database, client: Client, user_id: UUID, after: int, limit: int
) -> None:
    run_id = await stored(database, user_id)
    page = await client.list_findings(user_id, run_id, after=after, limit=limit, roles=())
    assert len(page.findings) == (0 if after > 0 else min(len(ITEMS), max(1, min(limit, 1_000))))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"metrics": ("novelty\x00",)}, r"no findings of 'novelty\\\\x00'; its metrics: docs, lint, security"),
        ({"states": (FindingState.FIXED,)}, "a run does not list fixed findings"),
        ({"path": "*" * 1_001}, "the path has 1001 characters; at most 1000"),
    ],
)
async def test_a_filter_that_can_match_nothing_is_refused(
    database: Database, client: Client, user_id: UUID, wanted: dict[str, Any], words: str
) -> None:
    run_id = await stored(database, user_id)
    with pytest.raises(InvalidInputError, match=words):
        await client.list_findings(user_id, run_id, **wanted)


async def test_states_of_a_run_without_baseline_are_refused(database: Database, client: Client, user_id: UUID) -> None:
    run_id = await stored(database, user_id, compared=False)
    assert (await client.list_findings(user_id, run_id)).matching == len(expected())
    with pytest.raises(InvalidInputError, match="has no baseline: its findings have no states"):
        await client.list_findings(user_id, run_id, states=(FindingState.NEW,))


@pytest.mark.parametrize("path", ["\x00", "\ud800", "' OR '1'='1", "\\", "%", "*" * 1_000, "*a" * 500])
async def test_hostile_paths_match_nothing(database: Database, client: Client, user_id: UUID, path: str) -> None:
    run_id = await stored(database, user_id)
    found = await client.list_findings(user_id, run_id, path=path, limit=1_000)
    assert found.matching == (len(expected()) if set(path) == {"*"} else 0)


async def test_runs_of_earlier_versions_and_of_other_programs_are_read(
    database: Database, client: Client, user_id: UUID
) -> None:
    old = {"metric": "lint", "rule": "F401", "path": "tests/test_a.py", "line": 1, "message": "m"}
    run_id = await stored(
        database, user_id, compared=False, findings={"total": 3, "items": [old, 7, None, "x"]}, file_tree=None,
        metrics={"lint": {}},
    )  # fmt: skip
    page = await client.list_findings(user_id, run_id, severity=FindingSeverity.LOW, metrics=("lint",))
    assert list(page.findings) == [{"ordinal": 1, "role": "source", **old}]
    assert (page.unlisted, page.other_roles) == (0, {})
    async with database.unit_of_work() as work:
        bare = await work.scalar(
            text(
                "INSERT INTO analysis_runs (user_id, submission_type, metrics, findings) "
                "VALUES (:id, 'upload', '{}', '[]') RETURNING run_id"
            ),
            {"id": user_id},
        )
    assert (await client.list_findings(user_id, bare)).findings == []
    with pytest.raises(NotFoundError):
        await client.list_findings(user_id, uuid.uuid4())
