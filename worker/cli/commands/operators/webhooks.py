"""`vibe8 webhooks` and `vibe8 resend`: webhook deliveries of all users, for operators."""

from uuid import UUID

from rich.markup import escape

from domain.errors import NotFoundError
from domain.text import JSON, one_line
from domain.webhooks import DeliveryState
from infrastructure.settings import load_settings
from worker.cli.exit_codes import DONE
from worker.cli.output.grid import Grid
from worker.cli.output.jobs import SHORT_ID
from worker.cli.output.writer import OutputWriter
from worker.client.operator import OperatorClient
from worker.client.operators.webhooks import owned_delivery_to_json


async def webhooks(state: DeliveryState | None, limit: int, output: OutputWriter) -> int:
    """List deliveries in the state; without one, those that have ended."""
    async with OperatorClient.open(load_settings(), lazy_redis=True) as operator:
        found = await operator.webhooks.list_page(state, limit=limit)
    documents: list[JSON] = [owned_delivery_to_json(each) for each in found]
    if output.as_json:
        output.print_json(documents)
    elif documents:
        _grid(documents).show(output.console)
    else:
        output.print_line("no deliveries")
    return DONE


async def resend(delivery: str, output: OutputWriter) -> int:
    """Send a delivery again. Raises NotFoundError."""
    try:
        delivery_id = UUID(delivery)
    except ValueError:
        raise NotFoundError(f"there is no webhook delivery {one_line(delivery, 80)}; see `vibe8 webhooks`") from None
    async with OperatorClient.open(load_settings(), lazy_redis=True) as operator:
        document = owned_delivery_to_json(await operator.webhooks.resend(delivery_id))
    if output.as_json:
        output.print_json(document)
    else:
        output.print_line(f"{delivery_id} is sent to {one_line(document['host'], 120)} within seconds")
    return DONE


def _grid(documents: list[JSON]) -> Grid:
    grid = Grid(
        headings=("delivery", "job", "owner", "receiver", "state", "attempts", "next or end", "last error"),
        numbers=frozenset({"attempts"}),
    )
    for each in documents:
        at = each["delivered_at"] or each["given_up_at"] or each["due_at"]
        grid.rows.append(
            (
                each["notice_id"],
                escape(one_line(each["job_id"][:SHORT_ID], 40)),
                escape(one_line(each["owner"] or "-", 80)),
                escape(one_line(each["host"], 80)),
                each["state"],
                str(each["attempt"]),
                f"{at[:19]}Z",
                escape(one_line(each["last_error"] or "-", 120)),
            )
        )
    return grid
