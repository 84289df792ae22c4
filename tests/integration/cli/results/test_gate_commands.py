"""`vibe8 analyze --baseline --gate` and `vibe8 submit --baseline --gate`: verdicts, exit codes, and refusals."""

import asyncio
import json
import re
from pathlib import Path
from uuid import UUID

import pytest

from tests.fixtures.git_repository import WorkTree
from tests.fixtures.worker_process import System
from tests.integration.cli.command_support import assert_error_line
from worker.client import Client

BASE = '"""A module."""\n\n\ndef f(items):\n    """Sum up."""\n    return sum(items)\n'
WORSE = BASE.replace("sum(items)", "eval(items)")
REASON = "1 finding of medium severity or above is new or has become worse; at most 0 may be"
LINES = "".join(f"NUMBER_{number} = {number}\n" for number in range(30))
ANY_LOW = {"conditions": [{"kind": "new_findings_per_100_lines", "max": 5, "severity": "low"}]}


@pytest.fixture
def tree(tmp_path: Path) -> WorkTree:
    tree = WorkTree(tmp_path / "tree")
    tree.commit("base", a_py=BASE)
    return tree


async def test_analysis_is_judged_against_an_earlier_result(no_services: System, tree: WorkTree) -> None:
    old = no_services.directory / "old.json"
    first = await no_services.run("analyze", "tree", "--offline", "--json", "--gate")
    assert first.code == 0
    assert "the gate judged nothing: there is no earlier run to compare with" in first.error
    old.write_text(first.out)
    tree.commit("worse", a_py=WORSE)
    same, judged, told, as_json, sarif = await asyncio.gather(
        no_services.run("analyze", "tree/a.py", "--offline", "--baseline", "old.json", "--json"),
        no_services.run("analyze", "tree", "--offline", "--baseline", "old.json", "--gate"),
        no_services.run("analyze", "tree", "--offline", "--baseline", "old.json"),
        no_services.run("analyze", "tree", "--offline", "--baseline", "old.json", "--gate", "--json"),
        no_services.run("analyze", "tree", "--offline", "--baseline", "old.json", "--gate", "--format", "sarif"),
    )
    assert same.document["comparison"]["chosen_as"] == "submitted"
    assert (judged.code, told.code, as_json.code, sarif.code) == (4, 0, 4, 4)
    lines = judged.out.splitlines()
    assert lines[lines.index("Gate: rejected") + 1] == f"  fail: {REASON}"
    assert lines[lines.index("Gate: rejected") + 2].startswith("    a.py:6:12  medium security B307 ")
    for each in (judged, as_json, sarif):
        assert each.error.splitlines()[-1].startswith(f"vibe8: rejected by the gate: {REASON}")
    assert "rejected by the gate" not in told.error
    assert "Gate: rejected" in told.out
    document = as_json.document
    assert document["review"]["verdict"] == "REJECTED"
    assert [item["rule"] for item in document["findings"]["items"] if item["state"] == "new"] == ["B307"]
    json.loads(sarif.out)


async def test_added_lines_are_those_since_the_commit_of_the_earlier_result(
    no_services: System, tree: WorkTree
) -> None:
    (no_services.directory / "policy.json").write_text(json.dumps(ANY_LOW))
    first = await no_services.run("analyze", "tree", "--offline", "--json")
    (no_services.directory / "old.json").write_text(first.out)
    unknown = {**first.document, "source": {**first.document["source"], "git_commit_sha": "0" * 40}}
    (no_services.directory / "unknown.json").write_text(json.dumps(unknown))
    tree.commit("more", a_py=BASE + LINES)
    options = ("analyze", "tree", "--offline", "--policy", "policy.json", "--gate", "--json")
    known, missing = await asyncio.gather(
        no_services.run(*options, "--baseline", "old.json"), no_services.run(*options, "--baseline", "unknown.json")
    )
    (answer,) = known.document["review"]["criteria"]
    assert answer["reason"].startswith("30 new low findings in 30 added lines: 100.0 per 100")
    assert (known.code, answer["status"]) == (4, "fail")
    assert known.document["options"] == {"gate": known.document["review"]["policy"]}
    (answer,) = missing.document["review"]["criteria"]
    assert (missing.code, answer["status"]) == (0, "not_evaluated")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--baseline", "none.json"), "none.json cannot be read: No such file or directory"),
        (("--baseline", "a.py"), "a.py is no JSON: give what `vibe8 analyze --json` printed"),
        (("--baseline", "policy.json"), "policy.json is no result"),
        (("--policy", "a.py"), "a.py is no JSON, as a gate policy must be"),
        (("--policy", "many.json"), "many.json: conditions of the gate policy must be a list of 1 to 50 objects"),
    ],
)
async def test_a_bad_file_is_a_usage_error_before_anything_is_analysed(
    no_services: System, options: tuple[str, ...], words: str
) -> None:
    directory = no_services.directory
    (directory / "a.py").write_text("x = 1\n")
    (directory / "policy.json").write_text(json.dumps(ANY_LOW))
    (directory / "many.json").write_text(json.dumps({"conditions": ANY_LOW["conditions"] * 10_000}))
    assert_error_line(await no_services.run("analyze", "a.py", *options), 2, words)


async def test_submitted_job_is_judged_against_the_run_that_is_named(
    cli: System, client: Client, local_user: UUID
) -> None:
    (cli.directory / "policy.json").write_text(json.dumps({"conditions": [{"kind": "new_findings", "max": 1}]}))
    code = cli.directory / "a.py"
    async with cli.worker():
        code.write_text(BASE)
        first = await cli.run("submit", "a.py", "--project", "P", "--wait", "--gate", "--json")
        assert first.code == 0, first.error
        base = first.document["source"]["run_id"]
        code.write_text(WORSE)
        submit = ("submit", "a.py", "--project", "P", "--baseline", base[:12])
        rejected = await cli.run(*submit, "--wait", "--gate")
        told = await cli.run(*submit, "--wait", "--json")
        lenient = await cli.run(*submit, "--wait", "--gate", "--policy", "policy.json", "--json")
        again = await cli.run("result", told.document["job"]["job_id"], "--gate")
        stored = await cli.run("run", told.document["source"]["run_id"], "--gate", "--json")
        plain = await cli.run("run", told.document["source"]["run_id"])
        listed = await cli.run("runs", "--project", "P")
    assert "the gate judged nothing" in first.error
    assert rejected.code == 4
    assert rejected.error.splitlines()[-1].startswith(f"vibe8: rejected by the gate: {REASON}")
    assert f"  fail: {REASON}" in rejected.out.splitlines()
    assert (told.code, told.document["review"]["verdict"]) == (0, "REJECTED")
    assert told.document["options"] == {"baseline": base}
    for each in (again, stored):
        assert each.code == 4
        assert each.error.splitlines()[-1].startswith(f"vibe8: rejected by the gate: {REASON}")
    assert stored.document["review"]["verdict"] == "REJECTED"
    assert (plain.code, plain.error) == (0, "")
    assert (lenient.code, lenient.document["review"]["verdict"]) == (0, "APPROVED")
    assert lenient.document["options"]["gate"] == lenient.document["review"]["policy"]
    columns = [re.search(r" s +1 +(\S+)  (approved|rejected|-) ", line) for line in listed.out.splitlines()[1:]]
    assert [found and found[2] for found in columns] == ["approved", "rejected", "rejected", "-"]
    assert columns[0] is not None
    assert columns[0][1] == f"{lenient.document['quality_score']:.1f}"


async def test_an_unfinished_job_has_no_verdict(cli: System, client: Client, local_user: UUID) -> None:
    job = await client.submit_upload(local_user, filename="a.py", content=BASE.encode())
    found = await cli.run("result", job.job_id, "--gate")
    assert found.code == 2
    assert "the job is pending: the gate's verdict is known when it has ended" in found.error


async def test_options_of_submit_that_make_no_sense_are_refused(cli: System, client: Client, local_user: UUID) -> None:
    (cli.directory / "a.py").write_text(BASE)
    (cli.directory / "bad.json").write_text('{"conditions": [], "x": 1}')
    (cli.directory / "sources.jsonl").write_text('{"source": "a.py"}\n')
    expected = {
        ("a.py", "--gate"): "--gate needs --wait: the verdict is known when the job has ended",
        ("a.py", "--policy", "bad.json"): "bad.json: the gate policy has an unknown key 'x'",
        ("a.py", "--baseline", "9c41"): "there is no run 9c41",
        ("--from", "sources.jsonl", "--gate"): "--from cannot be combined with",
        ("--from", "sources.jsonl", "--baseline", "9c41"): "--from cannot be combined with",
    }
    for arguments, words in expected.items():
        assert_error_line(await cli.run("submit", *arguments), 2, words)
    assert await client.list_jobs(local_user) == []
