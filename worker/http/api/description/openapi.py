"""The description of the API in OpenAPI 3.1, from the routes, their dependencies, and the schemas of answers."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from domain.text import JSON
from infrastructure.json_codec import loads
from worker.http.api.description.examples import EXAMPLES, REQUEST_EXAMPLES
from worker.http.api.description.responses import ANSWERS, Answer
from worker.http.api.description.shapes import SHAPES, ref
from worker.http.api.jobs.submissions import FIELDS, RepositoryJob
from worker.http.api.request_bodies import FORM_TYPE, JSON_TYPE, Body, JsonBody
from worker.http.caller import Permit
from worker.http.problems import MEDIA_TYPE, PROBLEMS, Problem

SUMMARY = "Jobs that measure Python code, their runs, and what operators do."
BEARER = "bearer"
_ETAG = {"ETag": {"schema": {"type": "string"}, "description": "Stands for the document; see `If-None-Match`."}}
_ALWAYS = {400, 404, 405, 421, 422, 429, 500, 503}
_WITH_CALLER = {401, 403}
_WITH_BODY = {403, 408, 409, 413, 415}


def describe(routes: Sequence[APIRoute]) -> dict[str, JSON]:
    """Return the description of these routes."""
    made = get_openapi(
        title="vibe8", version=version("vibe8-worker"), openapi_version="3.1.0", routes=routes, summary=SUMMARY
    )
    schemas: dict[str, JSON] = {**made.get("components", {}).get("schemas", {}), **_result_schemas(), **SHAPES}
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)  # FastAPI's own form of errors
    for route in routes:
        for method in route.methods or ():
            operation = made["paths"][route.path_format][method.lower()]
            _describe(operation, route, schemas)
    made["components"] = {
        "schemas": schemas,
        "securitySchemes": {BEARER: {"type": "http", "scheme": "bearer", "description": "An API key."}},
    }
    return made


def _describe(operation: dict[str, Any], route: APIRoute, schemas: dict[str, JSON]) -> None:
    """Add to an operation what FastAPI does not know: who may call it, its body, and all of its answers."""
    operation["operationId"] = route.name
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _given(parameter["schema"])
    calls = list(_calls(route.dependant))
    permissions = [call.permission for call in calls if isinstance(call, Permit)]
    if permissions:
        operation["security"] = [{BEARER: []}]
        operation["x-permission"] = str(permissions[0])
    models = [call.model for call in calls if isinstance(call, JsonBody)]
    if models:
        operation["requestBody"] = {"required": True, "content": _json_content(models[0], schemas)}
    if route.name == "submit_job":
        operation["requestBody"] = {"required": True, "content": _submission(schemas)}
    has_body = route.methods is not None and bool(route.methods & {"POST", "PUT", "PATCH", "DELETE"})
    statuses = _ALWAYS | (_WITH_CALLER if permissions else set()) | (_WITH_BODY if has_body else set())
    operation["responses"] = {
        **{str(answer.status): _success(answer) for answer in ANSWERS[route.name]},
        **({"304": {"description": "You have the document already."}} if _has_etag(route.name) else {}),
        **{str(status): _failure(status) for status in sorted(statuses)},
    }


def _given(schema: dict[str, JSON]) -> dict[str, JSON]:
    """Return the schema of a parameter that is given: one that may be left out cannot be sent as null."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    return {**choices[0], **{key: value for key, value in schema.items() if key != "anyOf"}} if choices else schema


def _calls(dependant: Dependant) -> Iterator[Any]:
    """Yield what a route depends on, and what that depends on."""
    for each in dependant.dependencies:
        yield each.call
        yield from _calls(each)


def _has_etag(name: str) -> bool:
    return any(answer.has_etag for answer in ANSWERS[name])


def _success(answer: Answer) -> dict[str, JSON]:
    described: dict[str, JSON] = {"description": answer.meaning}
    if answer.has_etag:
        described["headers"] = _ETAG
    if answer.schema is not None:
        content: dict[str, JSON] = {"schema": ref(answer.schema)}
        if (example := EXAMPLES.get(answer.schema)) is not None and answer.media_type == JSON_TYPE:
            content["example"] = example
        # OpenAPI 3.1 has no word for the events of a stream.
        events: dict[str, JSON] = {"schema": {"type": "string"}, "x-event-data": ref(answer.schema)}
        described["content"] = {answer.media_type: content if answer.media_type == JSON_TYPE else events}
    elif answer.status != 204:
        described["content"] = {answer.media_type: {}}
    return described


def _failure(status: int) -> dict[str, JSON]:
    problems: list[Problem] = [problem for problem in PROBLEMS if problem.status == status]
    codes = " or ".join(f"`{problem.code}`" for problem in problems)
    example = {
        "type": f"/api/v1/problems#{problems[0].code}",
        "title": problems[0].title,
        "status": status,
        "detail": problems[0].meaning,
        "code": problems[0].code,
        "request_id": "3f1c9a1e8b7d4c5e9f00aa11bb22cc33",
    }
    return {
        "description": f"{problems[0].title}: {codes}.",
        "content": {MEDIA_TYPE: {"schema": ref("problem"), "example": example}},
    }


def _json_content(model: type[Body], schemas: dict[str, JSON]) -> dict[str, JSON]:
    """Return the JSON body of this model, and add its schemas."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema
    content: dict[str, JSON] = {"schema": ref(model.__name__)}
    if (example := REQUEST_EXAMPLES.get(model.__name__)) is not None:
        content["example"] = example
    return {JSON_TYPE: content}


def _submission(schemas: dict[str, JSON]) -> dict[str, JSON]:
    texts: Mapping[str, JSON] = {name: {"type": "string"} for name in sorted(FIELDS)}
    form = {
        "type": "object",
        "properties": {
            "file": {"type": "string", "format": "binary", "description": "A `.py` or `.zip` file."},
            **texts,
        },
        "required": ["file"],
        "additionalProperties": False,
    }
    return {FORM_TYPE: {"schema": form}, **_json_content(RepositoryJob, schemas)}


def _result_schemas() -> dict[str, JSON]:
    """Return the schemas of a result and of what it refers to, under their names there."""
    text = files("worker.http.api.description").joinpath("result.schema.json").read_text("utf-8")
    document = loads(text.replace("#/$defs/", "#/components/schemas/"))
    parts: dict[str, JSON] = document.pop("$defs")
    document.pop("$schema")
    return {**parts, "result": document, "description": {"type": "object"}}
