"""`vibe8 sign-in`: a link that signs a user in to the pages of `vibe8 serve`, once."""

from domain.keys import USER_PERMISSIONS, Permission
from domain.sessions import LINK_MINUTES
from infrastructure.service_urls import http_address
from infrastructure.settings import load_settings
from worker.cli.exit_codes import DONE
from worker.cli.options import DEFAULT_USER
from worker.cli.output.writer import OutputWriter
from worker.client import Client
from worker.client.operator import OperatorClient


async def sign_in(email: str, address: str | None, output: OutputWriter, *, operates: bool) -> int:
    """Print a link for the user; with `operates`, one that also allows what operators do."""
    settings = load_settings()
    async with OperatorClient.open(settings, lazy_redis=True) as operator:
        address = address or http_address(settings.http_host, settings.http_port)
        link = await sign_in_link(operator.user_client, email, address, operates=operates)
    if output.as_json:
        output.print_json({"link": link, "minutes": LINK_MINUTES})
    else:
        output.print_line(link)
    return DONE


async def sign_in_link(client: Client, email: str, address: str, *, operates: bool) -> str:
    """Return a link to the service at this address that signs the user in once. The client must be an operator's."""
    user_id = await client.get_or_create_user(email)
    permissions = frozenset(Permission) if operates else USER_PERMISSIONS
    secret = await client.sessions.create_link(user_id, permissions)
    return f"{address.rstrip('/')}/sign-in/{secret}"


async def local_sign_in_link(address: str) -> str:
    """Return a link for the user in whose name this machine's commands act, who also operates the fleet here."""
    async with OperatorClient.open(load_settings(), lazy_redis=True) as operator:
        return await sign_in_link(operator.user_client, DEFAULT_USER, address, operates=True)
