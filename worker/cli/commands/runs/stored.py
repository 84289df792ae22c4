"""`vibe8 runs`, `vibe8 run` and `vibe8 export`: lists of runs, and one run as a whole."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from domain.tags import parse_tags
from domain.text import JSON
from worker.cli.commands.jobs.jobs import client_and_user
from worker.cli.exit_codes import DONE
from worker.cli.output.documents import write_document
from worker.cli.output.results.page import show_result
from worker.cli.output.results.verdict import report_verdict
from worker.cli.output.runs.listing import show_runs
from worker.cli.output.writer import OutputWriter
from worker.client import ExportFormat, run_summary_to_json, run_to_json
from worker.export.formats import check_metric_choice


async def runs(email: str, limit: int, project: str | None, tags: Sequence[str], output: OutputWriter) -> int:
    """List the user's runs, newest first; with `project`, those of one project, with `tags` those that have them."""
    documents: list[JSON] = []
    wanted = parse_tags(tags)
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        page = await client.list_runs(user_id, limit=limit, project=project, tags=wanted)
        while True:
            documents += [run_summary_to_json(run) for run in page.runs[: limit - len(documents)]]
            if page.next is None or len(documents) == limit:
                break
            left = limit - len(documents)
            page = await client.list_runs(user_id, limit=left, after=page.next, project=project, tags=wanted)
    if output.as_json:
        output.print_json(documents)
    else:
        show_runs(output.console, documents, datetime.now(UTC))
    return DONE


async def run(email: str, prefix: str, output: OutputWriter, *, gate: bool) -> int:
    """Show one run again, as `vibe8 result` showed it. With `gate`, its verdict decides the exit code."""
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        found = await client.get_run(user_id, await client.find_run_id(user_id, prefix))
    show_result(run_to_json(found, None), output)
    return report_verdict({"review": found.review}) if gate else DONE


async def export(
    email: str, prefix: str, export_format: ExportFormat, metric: str | None, destination: Path | None
) -> int:
    """Write the run as a document for another program, to a file or to standard output."""
    check_metric_choice(export_format, metric)
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        run_id = await client.find_run_id(user_id, prefix)
        data = await client.export_run(user_id, run_id, export_format, metric=metric)
    write_document(data, destination)
    return DONE
