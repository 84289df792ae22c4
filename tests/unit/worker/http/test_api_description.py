"""The description of the API: complete, and its examples are what it says."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from jsonschema import Draft202012Validator

from worker.http.api.description.examples import EXAMPLES, REQUEST_EXAMPLES
from worker.http.api.description.openapi import describe
from worker.http.api.description.responses import ANSWERS
from worker.http.api.description.shapes import SHAPES
from worker.http.api.routes import api_routes
from worker.http.identity import Permission
from worker.http.problems import PROBLEMS

DESCRIPTION: dict[str, Any] = describe(api_routes())
WITHOUT_KEY = {"list_problems", "get_description", "receive_hook"}


def operations() -> Iterator[dict[str, Any]]:
    for path in DESCRIPTION["paths"].values():
        yield from path.values()


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from ([node["$ref"]] if isinstance(node.get("$ref"), str) else [])
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_it_is_valid_openapi() -> None:
    schemathesis.openapi.from_dict(DESCRIPTION).validate()
    assert DESCRIPTION["openapi"].startswith("3.1")


def test_every_route_says_what_it_answers_and_who_may_call_it() -> None:
    assert {route.name for route in api_routes()} == set(ANSWERS)
    found = list(operations())
    assert len(found) == len(ANSWERS) > 40
    for operation in found:
        named = operation["operationId"]
        assert ("security" in operation) is (named not in WITHOUT_KEY), named
        assert named in WITHOUT_KEY or operation["x-permission"] in set(Permission)
        assert operation["description"], named
        assert {"404", "422", "429", "500", "503"} <= set(operation["responses"]), named
        assert named in WITHOUT_KEY or {"401", "403"} <= set(operation["responses"]), named
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (named, parameter["name"])


def test_every_reference_leads_to_a_schema_and_every_schema_is_used() -> None:
    names = {reference.removeprefix("#/components/schemas/") for reference in references(DESCRIPTION)}
    assert names <= set(DESCRIPTION["components"]["schemas"])
    assert set(SHAPES) <= names


@pytest.mark.parametrize("name", [*EXAMPLES, *REQUEST_EXAMPLES])
def test_examples_are_what_their_schemas_say(name: str) -> None:
    example = {**EXAMPLES, **REQUEST_EXAMPLES}[name]
    schema = {"components": DESCRIPTION["components"], "$ref": f"#/components/schemas/{name}"}
    Draft202012Validator(schema).validate(example)


def test_every_code_of_a_problem_is_described_where_it_can_occur() -> None:
    texts = {answer["description"] for operation in operations() for answer in operation["responses"].values()}
    for problem in PROBLEMS:
        assert problem.code == "gone" or any(f"`{problem.code}`" in text for text in texts), problem.code
