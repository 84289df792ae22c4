"""The example of an evaluation: its twelve projects, by a worker."""

import csv
import io
import json
from pathlib import Path

from tests.fixtures.worker_process import System

EXAMPLE = Path(__file__).parents[3] / "examples/evaluation"
LIMIT = {"MAX_CONCURRENT_JOBS_PER_USER": "12"}


async def test_example_is_evaluated_and_shown_in_every_form(system: System) -> None:
    async with system.worker("worker"):
        finished = await system.run(
            "evaluate", str(EXAMPLE / "manifest.csv"), "--name", "The example", "--wait", **LIMIT
        )
    assert finished.code == 0, finished.error
    lines = finished.out.splitlines()
    assert lines[0] == "The example: completed"
    assert "declared by the submitter" in lines[1]
    assert "not an experiment" in lines[2]
    assert [line.split()[:4] for line in lines if line.startswith("human  ")] == [["human", "6", "of", "6"]]
    (documented,) = [line for line in lines if line.startswith("documented definitions, %") and "6 / 6" in line]
    assert documented.endswith("example model higher")
    listed = await system.run("evaluations", "--json")
    (listing,) = json.loads(listed.out)
    prefix = listing["evaluation_id"][:8]
    as_json, page, table = [
        await system.run("evaluation", prefix, *options)
        for options in (["--json"], ["--format", "html"], ["--format", "csv"])
    ]
    document = json.loads(as_json.out)
    assert {member["state"] for member in document["members"]} == {"completed"}
    assert [(test["first"], test["second"], test["projects"]) for test in document["overall"]["pairs"]] == [
        ("human", "example model", [6, 6])
    ] * 10  # fmt: skip
    assert document["paired"] != []
    assert {test["reason"] for test in document["paired"]} == {"too few projects"}
    assert page.out.startswith("<!DOCTYPE html>")
    assert "<svg" in page.out
    assert "<script" not in page.out
    rows = list(csv.DictReader(io.StringIO(table.out)))
    assert {row["table"] for row in rows} == {"overall", "paired", "task"}
    assert len(rows) == 10 + 10 + 6 * 10


def test_example_says_what_it_is() -> None:
    assert "were written for this example" in (EXAMPLE / "README.md").read_text()
