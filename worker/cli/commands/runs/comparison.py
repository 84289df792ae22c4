"""`vibe8 compare`: a run compared with an earlier one."""

from collections.abc import Collection

from worker.cli.commands.jobs.jobs import client_and_user
from worker.cli.exit_codes import DONE
from worker.cli.output.runs.comparison import show_comparison
from worker.cli.output.writer import OutputWriter
from worker.client import comparison_to_json


async def compare(email: str, prefix: str, base: str | None, roles: Collection[str], output: OutputWriter) -> int:
    """Compare the run with `base`, or without it with the run's own baseline."""
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        run_id = await client.find_run_id(user_id, prefix)
        baseline_id = None if base is None else await client.find_run_id(user_id, base)
        compared = await client.compare_runs(user_id, run_id, baseline_id)
    document = comparison_to_json(compared)
    if output.as_json:
        output.print_json(document)
    else:
        show_comparison(output.console, document, roles)
    return DONE
