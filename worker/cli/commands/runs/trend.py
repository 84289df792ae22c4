"""`vibe8 trend`: how a project's numbers move from run to run."""

from worker.cli.commands.jobs.jobs import client_and_user
from worker.cli.exit_codes import DONE
from worker.cli.output.runs.trend import show_trend
from worker.cli.output.writer import OutputWriter
from worker.client import trend_to_json


async def trend(email: str, project: str, branch: str | None, output: OutputWriter) -> int:
    """Show the trends of the project's runs of one branch."""
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        found = await client.trend(user_id, project, branch)
    document = trend_to_json(found)
    if output.as_json:
        output.print_json(document)
    else:
        show_trend(output.console, document)
    return DONE
