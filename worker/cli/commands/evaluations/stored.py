"""`vibe8 evaluation` and `vibe8 evaluations`: what is stored of evaluations."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from domain.errors import InvalidInputError
from domain.evaluations.results import evaluation_to_json, summary_to_json
from domain.text import JSON
from worker.cli.commands.jobs.jobs import client_and_user
from worker.cli.exit_codes import DONE
from worker.cli.output.documents import write_document
from worker.cli.output.evaluations.listing import show_evaluations, show_members
from worker.cli.output.evaluations.results import show_results
from worker.cli.output.writer import OutputWriter
from worker.client import Client, Evaluation, EvaluationFormat, EvaluationSummary


async def evaluation(
    email: str, prefix: str, export_format: EvaluationFormat | None, destination: Path | None, output: OutputWriter
) -> int:
    """Show the results, or write them in a form; without `export_format` also how far an open evaluation is."""
    if export_format is None and destination is not None:
        raise InvalidInputError("--output needs --format: name the form of the file")
    if export_format is not None and output.as_json:
        raise InvalidInputError("--json and --format exclude each other; `--format json` writes the same document")
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        evaluation_id = await client.evaluations.find_id(user_id, prefix)
        if export_format is not None:
            data = await client.evaluations.export(user_id, evaluation_id, export_format)
            write_document(data, destination)
            return DONE
        await show_evaluation(client, user_id, await client.evaluations.get(user_id, evaluation_id), output)
    return DONE


async def show_evaluation(client: Client, user_id: UUID, found: Evaluation, output: OutputWriter) -> None:
    """Print the results of an evaluation that has ended, and else its projects."""
    if found.summary.status.finished:
        document = await client.evaluations.results(user_id, found.summary.evaluation_id)
    else:
        document = evaluation_to_json(found)
    if output.as_json:
        output.print_json(document)
    elif found.summary.status.finished:
        show_results(output.console, document)
    else:
        show_members(output.console, document)


async def evaluations(email: str, limit: int, output: OutputWriter) -> int:
    """List the newest evaluations, at most `limit`."""
    found: list[EvaluationSummary] = []
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        while len(found) < limit:
            after = found[-1].cursor if found else None
            page = await client.evaluations.list(user_id, limit=limit - len(found), after=after)
            if not page:
                break
            found += page
    documents: list[JSON] = [summary_to_json(summary) for summary in found]
    if output.as_json:
        output.print_json(documents)
    else:
        show_evaluations(output.console, documents, datetime.now(UTC))
    return DONE
