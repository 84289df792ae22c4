"""`vibe8 compare`: two real runs of one project, as text and as JSON."""

import asyncio
import json
from uuid import UUID

from domain.sources import Authorship
from tests.fixtures.archives import make_zip
from tests.fixtures.worker_process import System, until_finished
from tests.integration.cli.command_support import assert_error_line
from worker.client import Client

FIRST = {
    "src/a.py": "import os\n\n\ndef f(x):\n    assert x\n    return 1\n",
    "src/old.py": "VALUE = 1\n",
    "tests/test_a.py": "def test_it():\n    assert 1\n",
}
SECOND = {
    "src/a.py": "import os\n\n\ndef f(x):\n    return eval(x)\n",
    "src/new.py": "OTHER = 2\n",
    "tests/test_a.py": "def test_it():\n    assert 1\n    assert 2\n",
}


async def run_of(client: Client, user_id: UUID, files: dict[str, str]) -> str:
    job = await client.submit_upload(
        user_id, filename="p.zip", content=make_zip(files), authorship=Authorship(project_name="P")
    )
    ended = await until_finished(client, user_id, job.job_id)
    assert ended.result_run_id is not None, ended.error_message
    return str(ended.result_run_id)


async def test_what_changed_is_counted_and_listed(cli: System, client: Client, local_user: UUID) -> None:
    async with cli.worker():
        first, second = await run_of(client, local_user, FIRST), await run_of(client, local_user, SECOND)
    own, all_roles, back, as_json, without = await asyncio.gather(
        cli.run("compare", second[:8]),
        cli.run("compare", second, first, "--role", "all"),
        cli.run("compare", first, second),
        cli.run("compare", second, "--json"),
        cli.run("compare", first),
    )
    assert own.code == 0, own.error
    lines = own.out.splitlines()
    assert lines[0] == f"run {second}, compared with {first}"
    assert ["security", "medium", "1", "0", "0", "0"] in [line.split() for line in lines]
    assert ["security", "low", "0", "0", "0", "1"] in [line.split() for line in lines]
    new, fixed = lines.index("New or updated"), lines.index("Fixed")
    assert lines[new + 1].startswith("src/a.py:5:12  medium security B307 ")
    assert lines[new + 1].endswith(" (new)")
    assert lines[fixed + 1].startswith("src/a.py:5:5  low security B101 ")
    assert any(line.startswith("in files of other roles: 1 new") for line in lines)
    assert "files: 1 added, 1 removed, 2 changed, 0 renamed" in lines
    assert {"  added src/new.py", "  removed src/old.py", "  changed tests/test_a.py"} <= set(lines)
    assert ["security", "medium", "0", "1", "+1"] in [line.split() for line in lines]
    assert "tests/test_a.py" not in own.out.split("Numbers that changed")[0]
    assert "tests/test_a.py:3:5  low security B101" in all_roles.out
    assert "in files of other roles" not in all_roles.out
    assert ["security", "medium", "0", "0", "0", "1"] in [line.split() for line in back.out.splitlines()]
    document = json.loads(as_json.out)
    assert (document["run_id"], document["baseline_run_id"]) == (second, first)
    assert {item["role"] for item in document["findings"] if item["state"] == "new"} == {"source", "test"}
    assert ("B101", "source") in [(item["rule"], item["role"]) for item in document["fixed"]["items"]]
    assert_error_line(without, 2, "has no baseline; name a run to compare it with")
