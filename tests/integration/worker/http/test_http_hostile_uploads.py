"""Hostile uploads through HTTP: each job ends, and the service answers all the while."""

import asyncio
import io
import zipfile
from uuid import UUID

import httpx
import pytest

from tests.fixtures.checks.result_documents import check_document
from tests.fixtures.network.http_service import RunningService, new_key
from tests.fixtures.worker_process import WorkerProcess, until_finished
from worker.client import Client

JOBS = "/api/v1/jobs"


def archive(*names: str, content: bytes = b"x = 1\n", mode: int = 0o100644) -> bytes:
    """Make an archive whose entries have these names, as they are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            file.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


REFUSED = {
    "no archive": b"PK\x03\x04 and then nothing",
    "leads out of the tree": archive("../../evil.py"),
    "absolute": archive("/etc/evil.py"),
    "symbolic link": archive("a.py", content=b"/etc/passwd", mode=0o120777),
    "bomb": archive(*(f"{n}.py" for n in range(30)), content=bytes(20 << 20)),
    "nothing to analyse": archive("a.txt"),
}
ANALYSED = {
    "markup in a name": archive("<script>alert(1)<&>.py", "a.py"),
    "direction of text": archive("\u202eyp.a.py", "a.py"),
    "no syntax": archive("a.py", "b.py", content=b"def f(:\n\x00\xff"),
}
FILENAMES = ("../../../etc/a.zip", "a\u202e.zip", "<img src=x onerror=alert(1)>.zip", "'; DROP TABLE jobs;--.zip")


@pytest.mark.settings(MAX_CONCURRENT_JOBS_PER_USER="50")
async def test_hostile_uploads_end_and_the_service_goes_on(
    service: RunningService, worker: WorkerProcess, client: Client, user_id: UUID
) -> None:
    async with service.client(await new_key(client, user_id)) as http:
        uploads = {**REFUSED, **ANALYSED}
        jobs = {what: await submit(http, content) for what, content in uploads.items()}
        named = [await submit(http, archive("a.py"), filename) for filename in FILENAMES]
        await asyncio.gather(*(until_finished(client, user_id, job) for job in (*jobs.values(), *named)))
        for what, job_id in jobs.items():
            result = await http.get(f"{JOBS}/{job_id}/result")
            assert result.status_code == 200, what
            check_document(result.json())
            assert (result.json()["metrics"] is None) is (what in REFUSED), (what, result.json()["errors"])
        for job_id in named:
            result = await http.get(f"{JOBS}/{job_id}/result")
            assert result.json()["metrics"]["size"]["files"] == 1
    assert not [entry for entry in service.process.log() if entry["level"] == "error"]


async def submit(http: httpx.AsyncClient, content: bytes, filename: str = "a.zip") -> str:
    accepted = await http.post(JOBS, files={"file": (filename, content)})
    assert accepted.status_code == 202, accepted.text
    return str(accepted.json()["job_id"])


@pytest.mark.parametrize("filename", ["a" * 300 + ".zip", "a.exe", "a.zip."])
async def test_file_names_that_are_none_are_refused(ann_http: httpx.AsyncClient, filename: str) -> None:
    answer = await ann_http.post(JOBS, files={"file": (filename, b"x")})
    assert answer.status_code in (400, 422), answer.text
    assert (await ann_http.get(JOBS)).json()["jobs"] == []
