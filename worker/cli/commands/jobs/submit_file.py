"""`vibe8 submit --from FILE`: submit the sources of a JSON Lines file, all or none."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from domain.errors import InvalidInputError
from domain.options import JobOptions
from domain.sources import Authorship
from domain.text import JSON, one_line
from infrastructure.settings import Settings, load_settings
from worker.cli.commands.jobs.submit import read_submission
from worker.cli.exit_codes import DONE
from worker.cli.output.writer import OutputWriter
from worker.cli.source_argument import parse_source
from worker.client import Client, Submission, UploadSubmission, job_to_json
from worker.client.jobs.submissions import MAX_SUBMISSIONS, MAX_TOTAL_MB, new_job

MAX_LINE_BYTES = 65_536
FIELDS = ("source", "branch", "project", "author_type", "author_model", "idempotency_key", "notify_url")


async def submit_file(
    path: Path,
    authorship: Authorship,
    notify: str | None,
    email: str,
    output: OutputWriter,
    *,
    options: JobOptions,
) -> int:
    """Submit every line with these options. `authorship` and `notify` apply to lines without their own.

    Raises InvalidInputError, which names the first invalid line; nothing is submitted then.
    """
    settings = load_settings(need_services=False)
    read = await asyncio.to_thread(_read, path, authorship, notify, settings)
    submissions = [replace(submission, options=options) for submission in read]
    async with Client.open(load_settings()) as client:
        jobs = await client.submit_many(await client.get_or_create_user(email), submissions)
    if output.as_json:
        output.print_json([job_to_json(job) for job in jobs])
    else:
        for job in jobs:
            output.print_line(job.job_id)
    return DONE


def _read(path: Path, authorship: Authorship, notify: str | None, settings: Settings) -> list[Submission]:
    submissions: list[Submission] = []
    size = 0
    with _opened(path) as (name, lines):
        for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE_BYTES + 1), b""), start=1):
            if not line.strip():
                continue
            try:
                submission = _parse(line, authorship, notify, settings)
                size += len(submission.content) if isinstance(submission, UploadSubmission) else 0
                _check_limits(len(submissions) + 1, size)
            except InvalidInputError as error:
                raise InvalidInputError(f"{name}, line {number}: {error}") from None
            submissions.append(submission)
        if not submissions:
            raise InvalidInputError(f"{name} has no line to submit")
    return submissions


@contextmanager
def _opened(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if str(path) == "-":
        yield "standard input", sys.stdin.buffer
        return
    name = one_line(str(path), 200)
    try:
        with path.open("rb") as lines:
            yield name, lines
    except OSError as error:
        raise InvalidInputError(f"{name} cannot be read: {error.strerror}") from error


def _check_limits(count: int, size: int) -> None:
    if count > MAX_SUBMISSIONS:
        raise InvalidInputError(f"more than {MAX_SUBMISSIONS} sources at once; split the file")
    if size > MAX_TOTAL_MB * 1024 * 1024:
        raise InvalidInputError(
            f"the uploads up to here ({size} bytes) are more than {MAX_TOTAL_MB} MB together; split the file"
        )


def _parse(line: bytes, authorship: Authorship, notify: str | None, settings: Settings) -> Submission:
    values = _values(line)
    source = parse_source(values["source"], values.get("branch"), settings)
    submission = read_submission(
        source,
        Authorship(
            project_name=values.get("project", authorship.project_name),
            author_type=values.get("author_type", authorship.author_type),
            author_model=values.get("author_model", authorship.author_model),
        ),
        settings,
        idempotency_key=values.get("idempotency_key"),
        notify_url=values.get("notify_url", notify),
    )
    new_job(submission, settings)  # validate now, while the line number is known
    return submission


def _values(line: bytes) -> dict[str, str]:
    if len(line) > MAX_LINE_BYTES:
        raise InvalidInputError(f"the line has more than {MAX_LINE_BYTES} bytes")
    try:
        value: JSON = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidInputError("the line is no JSON") from None
    if not isinstance(value, dict) or not isinstance(value.get("source"), str):
        raise InvalidInputError('the line must be a JSON object with a text under "source"')
    for key, item in value.items():
        if key not in FIELDS:
            raise InvalidInputError(f"unknown key {one_line(key, 40)!r}; the keys are {', '.join(FIELDS)}")
        if not isinstance(item, str | None):
            raise InvalidInputError(f"{key!r} must be text")
    return {key: item for key, item in value.items() if item is not None}
