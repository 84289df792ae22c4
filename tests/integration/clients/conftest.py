"""Fixtures of the Python client's tests."""

from uuid import UUID

import pytest

from tests.fixtures.network.http_service import ALL, new_key
from worker.client import Client


@pytest.fixture
async def key(client: Client, user_id: UUID) -> str:
    """An API key of the test's user, with every permission."""
    return await new_key(client, user_id, ALL)
