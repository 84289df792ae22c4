"""`vibe8 runs` and `vibe8 run`: finished analyses, which stay after their jobs are deleted."""

from datetime import UTC, datetime

from domain.text import JSON
from worker.cli.commands.jobs import client_and_user
from worker.cli.exit_codes import DONE
from worker.cli.output.results import show_result
from worker.cli.output.runs import show_runs
from worker.cli.output.writer import OutputWriter
from worker.client import run_summary_to_json, run_to_json


async def runs(email: str, limit: int, output: OutputWriter) -> int:
    """List the user's runs, newest first."""
    documents: list[JSON] = []
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        page = await client.list_runs(user_id, limit=limit)
        while True:
            documents += [run_summary_to_json(run) for run in page.runs[: limit - len(documents)]]
            if page.next is None or len(documents) == limit:
                break
            page = await client.list_runs(user_id, limit=limit - len(documents), after=page.next)
    if output.as_json:
        output.print_json(documents)
    else:
        show_runs(output.console, documents, datetime.now(UTC))
    return DONE


async def run(email: str, prefix: str, output: OutputWriter) -> int:
    """Show one run again, as `vibe8 result` showed it."""
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        found = await client.get_run(user_id, await client.find_run_id(user_id, prefix))
    show_result(run_to_json(found, None), output)
    return DONE
