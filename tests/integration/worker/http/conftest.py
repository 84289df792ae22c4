"""A browser without script, for the tests of pages: its headers and its cookie, and ways to sign in."""

import re
from collections.abc import AsyncIterator, Collection
from uuid import UUID

import httpx
import pytest

from domain.keys import USER_PERMISSIONS, Permission
from tests.fixtures.network.http_service import Tokens, http_client
from tests.fixtures.worker_process import System
from worker.client import Client
from worker.client.operator import OperatorClient
from worker.http import create_app

ORIGIN = {"Origin": "http://localhost", "Accept": "text/html"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
HOSTILE = '"><script>alert(1)</script>\u202e'


@pytest.fixture
async def browser(client: Client, tokens: Tokens, system: System) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that nobody has signed in, with the headers of one."""
    async with OperatorClient.open(system.settings) as operator:
        app = create_app(client, identify=tokens, operator=operator)
        async with http_client(app) as http:
            http.headers.update(ORIGIN)
            yield http


def keep_cookie(browser: httpx.AsyncClient, answer: httpx.Response) -> str:
    """Keep the cookie as a browser does on a loopback address; httpx sends no Secure cookie over http."""
    header = answer.headers["set-cookie"]
    assert re.fullmatch(r"vibe8_session=[\w-]{43}; HttpOnly; Max-Age=1209600; Path=/; SameSite=lax; Secure", header)
    text = header.partition(";")[0]
    browser.headers["Cookie"] = text
    return text


async def sign_in(
    browser: httpx.AsyncClient,
    client: Client,
    user_id: UUID,
    *,
    operates: bool = False,
    permissions: Collection[Permission] = USER_PERMISSIONS,
) -> None:
    maker = OperatorClient(client._connections, client._settings).user_client
    link = await maker.sessions.create_link(user_id, list(Permission) if operates else permissions)
    answer = await browser.post(f"/sign-in/{link}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    keep_cookie(browser, answer)
