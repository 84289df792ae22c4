"""Texts of an analysed project that try to become markup, in every place of every page."""

import json
import re
from collections.abc import AsyncIterator
from itertools import cycle
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from infrastructure.database.engine import Database
from tests.fixtures.jobs import claim_next, end_attempt, new_run
from tests.fixtures.network.http_service import Tokens, http_client
from tests.hostile.support.naughty_strings import UNSAFE
from tests.unit.worker.export.html_pages import Page
from tests.unit.worker.export.sample_reports import rejected_run, with_texts
from worker.client import Client
from worker.client.operator import OperatorClient
from worker.http import create_app

MARKS = (
    '"><script>alert(1)</script>',
    "' onload='alert(1)' x='",
    "</title><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}<!-- ",
    "\u202e\u2028<svg/onload=alert(1)>",
)
PLAIN = ("plain",)
PARTS = ("metrics", "file_tree", "findings", "history", "errors", "completeness")
EXPORTS = {"sarif": "application/sarif+json", "csv": "text/csv", "html": "text/html", "badge": "image/svg+xml"}


@pytest.fixture
async def operator(client: Client, tokens: Tokens, user_id: UUID) -> AsyncIterator[httpx.AsyncClient]:
    """A signed-in operator's browser, who also owns the runs."""
    parts = client._connections, client._settings
    # Not the suite's client, which validates results: this run has no more of them than pages show.
    app = create_app(Client(*parts), identify=tokens, operator=OperatorClient(*parts))
    async with http_client(app, tokens.add(user_id)) as http:
        http.headers.update({"Accept": "text/html", "Origin": "http://localhost"})
        yield http


async def run_with(client: Client, database: Database, user_id: UUID, marks: tuple[str, ...]) -> tuple[UUID, str]:
    """Complete a job with these texts wherever the analysed project has a say. Returns the run's and the job's id."""
    texts = cycle(marks)
    job = await client.submit_upload(user_id, filename="a.py", content=b"x = 1\n")
    document: dict[str, Any] = with_texts({name: rejected_run()[name] for name in PARTS}, texts)
    async with database.unit_of_work() as work:
        claim = await claim_next(work, 600)
        assert claim is not None
        run = new_run(user_id, job.job_id, **document)
        await end_attempt(work, claim, run)
        names = ("project_name", "git_branch", "author_model", "upload_filename")
        origin: dict[str, Any] = {name: re.sub(r"[\u2028\u202e]", "", next(texts)) for name in names}
        origin |= {"git_repo_url": f"https://github.com/o/{next(texts)}", "git_commit_sha": "a" * 40, "id": run.run_id}
        columns = ", ".join(f"{name} = :{name}" for name in origin if name != "id")
        await work.execute(text(f"UPDATE analysis_runs SET {columns} WHERE run_id = :id"), origin)  # noqa: S608
        source = {"source": json.dumps({**{name: next(texts) for name in names}, "x": 1}), "id": job.job_id}
        error = {"error": next(texts), **source}
        await work.execute(
            text("UPDATE jobs SET source_metadata = CAST(:source AS jsonb), error_message = :error WHERE job_id = :id"),
            error,
        )
    return run.run_id, job.job_id


async def pages_of(http: httpx.AsyncClient, client: Client, user_id: UUID, run: UUID, job: str) -> dict[str, str]:
    """Return every page that shows the run or the job, and pages that show what the request says."""
    shared = await client.reports.create(user_id, run)
    own = f"/r/{shared.code}"
    paths = ["/", f"/jobs/{job}", f"/runs/{run}", f"/runs/{run}/findings?role=", f"/runs/{run}...{run}"]
    paths += [f"/projects/{run}", "/shares", "/ops?state=all", f"/ops?find={job}", own]
    found = {}
    for path in paths:
        answer = await http.get(path)
        assert answer.status_code == 200, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "frame-ancestors 'none'" in policy, path
        assert not re.search(r"unsafe|\*|https?:", policy), path
        assert ("script-src" not in policy) if path == own else ("script-src 'self'" in policy), path
        found[path.replace(str(run), "RUN").replace(job, "JOB").replace(shared.code, "CODE")] = answer.text
    for query in ({"metric": MARKS[0]}, {"path": MARKS[1]}, {"state": MARKS[2]}):
        found[f"findings {query}"] = (await http.get(f"/runs/{run}/findings", params=query)).text
    for path, query in (("/ops", {"find": MARKS[0]}), ("/sign-in", {"next": f"/{MARKS[1]}"}), (f"/{MARKS[4]}", {})):
        found[f"{path} {query}"] = (await http.get(path, params=query)).text
    return found


async def test_no_text_becomes_markup_on_any_page(
    operator: httpx.AsyncClient, client: Client, database: Database, user_id: UUID
) -> None:
    plain = await pages_of(operator, client, user_id, *await run_with(client, database, user_id, PLAIN))
    shapes = set().union(*(Page(markup).shapes for markup in plain.values()))
    hostile = await pages_of(operator, client, user_id, *await run_with(client, database, user_id, MARKS))
    assert sum("&lt;script&gt;" in markup for markup in hostile.values()) > 6
    for path, markup in hostile.items():
        page = Page(markup)
        assert page.shapes <= shapes, (path, page.shapes - shapes)
        assert not UNSAFE.search(markup), path
        for name in ("href", "src", "action"):
            for value in page.values(name):
                assert re.match(r"/(?!/)|#|https://github\.com/o/|data:,\Z", value), (path, name, value)


async def test_exports_are_files_that_no_browser_runs(
    operator: httpx.AsyncClient, client: Client, database: Database, user_id: UUID
) -> None:
    run, _ = await run_with(client, database, user_id, MARKS)
    for form, media_type in EXPORTS.items():
        answer = await operator.get(f"/api/v1/runs/{run}/export", params={"format": form})
        assert answer.headers["content-type"].startswith(media_type), form
        assert answer.headers["content-disposition"].startswith(f'attachment; filename="vibe8-{run}.'), form
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == "private, no-cache"
