"""Requests that schemathesis makes from the description of the API: no fault, and only answers that it describes."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
import schemathesis
from hypothesis import Phase, given
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from domain.keys import MAX_RATE_LIMIT, Permission
from tests.fixtures.network.http_service import RunningService
from tests.fuzz.generators import count_outcome, fuzz_settings
from worker.client import Client
from worker.client.operator import OperatorClient

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 8
"""Requests for each operation in `make test`."""


def check_operations(address: str, key: str, examples: int) -> int:
    """Make requests for every operation but streams, and check the answers. Returns the number of requests."""
    schema = schemathesis.openapi.from_url(f"{address}/api/v1/openapi.json")
    schema.config.generation.update(modes=list(schemathesis.GenerationMode))
    made = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        if operation.path.endswith("/events"):
            continue

        @fuzz_settings(examples, phases=[Phase.explicit, Phase.generate])
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            nonlocal made
            made += 1
            headers = {"Authorization": f"Bearer {key}"}
            answer = case.call_and_validate(base_url=address, headers=headers, checks=CHECKS, timeout=60)
            count_outcome("http", f"status {answer.status_code}")

        check()
    return made


@pytest.fixture
async def every_permission(client: Client, user_id: UUID) -> str:
    """A key that may do everything, as often as it likes."""
    maker = OperatorClient(client._connections, client._settings).user_client
    made = await maker.keys.create(user_id, name="all", permissions=list(Permission), rate_limit=MAX_RATE_LIMIT)
    return made.text


async def test_no_request_gets_an_answer_that_the_description_lacks(
    service: RunningService, every_permission: str
) -> None:
    made = await asyncio.to_thread(check_operations, service.address, every_permission, EXAMPLES)
    assert made > 200
    assert not [entry for entry in service.process.log() if entry["level"] == "error"]
