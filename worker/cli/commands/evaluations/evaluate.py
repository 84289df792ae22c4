"""`vibe8 evaluate`: submit the projects of a manifest as one evaluation."""

import asyncio
import functools
from pathlib import Path
from uuid import UUID

from domain.errors import InvalidInputError, NotFoundError, ServiceUnavailableError
from domain.evaluations.manifest import MAX_MANIFEST_BYTES, Manifest, ManifestItem, parse_manifest
from domain.sources import Authorship
from domain.text import one_line
from infrastructure.settings import Settings, load_settings
from worker.cli.commands.evaluations.stored import show_evaluation
from worker.cli.commands.jobs.submit import OUTAGE_SECONDS, RETRY_SECONDS, UNCLAIMED_HINT, read_submission
from worker.cli.exit_codes import DONE, FAILED, InterruptedByUserError
from worker.cli.output.progress import WAITING, ProgressDisplay
from worker.cli.output.writer import OutputWriter
from worker.cli.source_argument import parse_source
from worker.client import Client, Evaluation, EvaluationItem, EvaluationStatus
from worker.retry import OutageTimer, retry_while_unavailable

POLL_SECONDS = 1.0
UNCLAIMED_POLLS = 10


async def evaluate(path: Path, name: str | None, email: str, output: OutputWriter, *, wait: bool) -> int:
    """Submit the projects; with `wait`, show the results when all have ended."""
    settings = load_settings(need_services=False)
    manifest = await asyncio.to_thread(_read_manifest, path)
    items = await asyncio.to_thread(_read_items, manifest, path.parent, settings)
    async with Client.open(load_settings()) as client:
        user_id = await client.get_or_create_user(email)
        evaluation = await client.evaluations.submit(
            user_id,
            name=name or manifest.name or path.stem,
            items=items,
            description=manifest.description,
            dataset_name=manifest.dataset,
        )
        if wait:
            evaluation = await _wait(client, user_id, evaluation, output)
            await show_evaluation(client, user_id, evaluation, output)
            return DONE if evaluation.summary.status is EvaluationStatus.COMPLETED else FAILED
    if output.as_json:
        output.print_json({"evaluation_id": str(evaluation.summary.evaluation_id)})
    else:
        output.print_line(str(evaluation.summary.evaluation_id))
    return DONE


def _read_manifest(path: Path) -> Manifest:
    name = one_line(str(path), 200)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise InvalidInputError(f"{name} cannot be read: {error.strerror}") from error
    try:
        return parse_manifest(data, path.name)
    except InvalidInputError as error:
        raise InvalidInputError(f"{name}: {error}") from None


def _read_items(manifest: Manifest, directory: Path, settings: Settings) -> list[EvaluationItem]:
    return [_read_item(number, item, directory, settings) for number, item in enumerate(manifest.items, start=1)]


def _read_item(number: int, item: ManifestItem, directory: Path, settings: Settings) -> EvaluationItem:
    """Read a project. A path is relative to the manifest. No measure needs the history of commits."""
    place = f"line {item.line}" if item.line else f"project {number}"
    try:
        named = item.source if "://" in item.source else str(directory / item.source)
        source = parse_source(named, None, settings)
        submission = read_submission(source, Authorship(), settings, with_history=False)
    except InvalidInputError as error:
        raise InvalidInputError(f"{place}: {error}") from None
    return EvaluationItem(
        source=submission,
        author_type=item.author.author_type,
        author_model=item.author.author_model,
        task=item.task,
        label=item.source,
    )


async def _wait(client: Client, user_id: UUID, evaluation: Evaluation, output: OutputWriter) -> Evaluation:
    """Show how many projects have ended until all have. The jobs go on without this command."""
    evaluation_id = evaluation.summary.evaluation_id
    read = functools.partial(client.evaluations.get, user_id, evaluation_id)
    hint = f"the jobs go on: `vibe8 evaluation {evaluation_id}` shows them"
    polls = 0
    try:
        with ProgressDisplay(quiet=output.as_json, stage=WAITING) as display:
            while not evaluation.summary.status.finished:
                await asyncio.sleep(POLL_SECONDS)
                polls += 1
                outage = OutageTimer(OUTAGE_SECONDS, delay_seconds=RETRY_SECONDS)
                evaluation = await retry_while_unavailable(read, outage)
                _show(display, evaluation, polls)
    except asyncio.CancelledError:
        raise InterruptedByUserError(f"no longer watching; {hint}") from None
    except ServiceUnavailableError as error:
        raise ServiceUnavailableError(f"{error}; {hint}") from error
    except NotFoundError:
        raise NotFoundError("the evaluation was deleted") from None
    return evaluation


def _show(display: ProgressDisplay, evaluation: Evaluation, polls: int) -> None:
    members = evaluation.members
    ended = sum(member.outcome.state.finished for member in members)
    if polls == UNCLAIMED_POLLS and all(member.outcome.state == "pending" for member in members):
        display.print_line(UNCLAIMED_HINT)
    if ended:
        display.show("analysing", 100 * ended / len(members))
