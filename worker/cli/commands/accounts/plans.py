"""`vibe8 usage` and `vibe8 user set-tier`: plans, and what is used of them."""

from domain.plans import Tier
from domain.text import one_line
from infrastructure.settings import load_settings
from worker.cli.commands.jobs.jobs import client_and_user
from worker.cli.exit_codes import DONE
from worker.cli.output.accounts.usage import show_usage
from worker.cli.output.writer import OutputWriter
from worker.client.operator import OperatorClient


async def usage(email: str, output: OutputWriter) -> int:
    """Show what the user has used of the plan."""
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        found = await client.usage.get(user_id)
    if output.as_json:
        output.print_json(found.to_json())
    else:
        show_usage(output.console, found)
    return DONE


async def set_tier(named: str, tier: Tier, output: OutputWriter) -> int:
    """Change the user's plan."""
    async with OperatorClient.open(load_settings(), lazy_redis=True) as operator:
        user_id = await operator.find_user(named)
        before = await operator.set_tier(user_id, tier)
    if output.as_json:
        output.print_json({"user_id": str(user_id), "tier": tier.value, "before": before})
    else:
        output.print_line(f"{one_line(named, 80)}: {before} -> {tier}")
    return DONE
