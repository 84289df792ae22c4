"""The Python client has a call for every operation of the API, with all of its parameters, in both modes."""

import ast
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.unit.clients.client_calls import Made, call_names, groups, made_by_async_client, made_by_blocking_client
from tests.unit.deploy.project_files import ROOT
from vibe8 import AsyncClient, Client
from vibe8.errors import InvalidRequestError, ProblemError, error_class
from vibe8.models import accounts, evaluations, jobs, operations, repositories, runs
from worker.http.api.description.openapi import describe
from worker.http.api.description.responses import ANSWERS
from worker.http.api.routes import api_routes
from worker.http.problems import PROBLEMS

DESCRIPTION: dict[str, Any] = describe(api_routes())
SCHEMAS = DESCRIPTION["components"]["schemas"]
SOURCE = ROOT / "clients" / "python" / "src" / "vibe8"
PATHS = sorted(DESCRIPTION["paths"], key=lambda path: path.count("{"))
"""Paths with fewer parameters first, as the service matches them."""

MADE = list(made_by_blocking_client())

NOT_SENT_AT_FIRST = {"last-event-id"}
"""A header of a stream that is resumed."""


def operation_of(made: Made) -> dict[str, Any]:
    path = made.request.url.raw_path.decode().partition("?")[0].removeprefix("/base")
    found = next(each for each in PATHS if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", each), path))
    operation: dict[str, Any] = DESCRIPTION["paths"][found][made.request.method.lower()]
    return operation


def test_every_operation_of_the_api_has_a_call() -> None:
    called = {operation_of(made)["operationId"] for made in MADE}
    assert called == set(ANSWERS)
    assert len(called) > 50


@pytest.mark.parametrize("made", MADE, ids=lambda made: f"{made.group}.{made.name}")
def test_a_call_sends_every_parameter_of_its_operation(made: Made) -> None:
    operation = operation_of(made)
    declared = {(each["in"], each["name"].lower()): each["schema"] for each in operation.get("parameters", ())}
    query = [key for key, _ in made.request.url.params.multi_items()]
    assert set(query) == {name for kind, name in declared if kind == "query"}
    for name in set(query):
        schema = declared["query", name]
        sent: Any = made.request.url.params.get_list(name)
        if schema.get("type") != "array":
            (sent,) = [int(value) if schema.get("type") == "integer" else value for value in sent]
        Draft202012Validator({**schema, "components": DESCRIPTION["components"]}).validate(sent)
    for kind, name in declared:
        assert kind != "header" or name in made.request.headers or name in NOT_SENT_AT_FIRST, name


@pytest.mark.parametrize("made", MADE, ids=lambda made: f"{made.group}.{made.name}")
def test_a_call_sends_a_whole_body_of_its_operation(made: Made) -> None:
    content = operation_of(made).get("requestBody", {}).get("content", {})
    kind = made.request.headers.get("content-type", "").partition(";")[0]
    if kind == "multipart/form-data":
        names = set(re.findall(rb'form-data; name="([^"]+)"', made.request.content))
        assert {name.decode() for name in names} == set(content[kind]["schema"]["properties"])
    elif content:
        document = json.loads(made.request.content)
        schema = content[kind]["schema"]
        Draft202012Validator({**schema, "components": DESCRIPTION["components"]}).validate(document)
        assert set(document) == set(SCHEMAS[schema["$ref"].rpartition("/")[2]]["properties"])
    else:
        assert made.request.content == b"" or made.name == "report_push"


def test_both_clients_send_the_same_requests() -> None:
    asynchronous = made_by_async_client()
    assert [(made.group, made.name) for made in asynchronous] == [(made.group, made.name) for made in MADE]
    for made, other in zip(MADE, asynchronous, strict=True):
        assert (other.request.method, other.request.url) == (made.request.method, made.request.url)
        if made.name != "report_push":  # each of its bodies is another one
            kind = made.request.headers.get("content-type", "")
            assert kind.partition(";")[0] == other.request.headers.get("content-type", "").partition(";")[0]
            _, _, boundary = kind.partition("boundary=")
            _, _, other_boundary = other.request.headers.get("content-type", "").partition("boundary=")
            same = other.request.content.replace(other_boundary.encode(), boundary.encode()) if boundary else None
            assert (same or other.request.content) == made.request.content


def test_both_clients_have_the_same_groups_with_documented_calls() -> None:
    blocking, asynchronous = groups(Client("http://a")), groups(AsyncClient("http://a"))
    assert {name: type(group) for name, group in blocking.items()} == {
        name: type(group) for name, group in asynchronous.items()
    }
    for name, group in blocking.items():
        for call in call_names(group):
            assert getattr(group, call).__name__ == call
            assert getattr(group, call).__doc__, (name, call)


MODELS = {
    "job": jobs.Job,
    "job_event": jobs.Progress,
    "webhook_delivery": jobs.WebhookDelivery,
    "result": runs.Result,
    "run_source": runs.RunSource,
    "completeness": runs.Completeness,
    "finding": runs.Finding,
    "review": runs.Review,
    "criterion": runs.Criterion,
    "insight": runs.Insight,
    "standing": runs.Standing,
    "run_summary": runs.RunSummary,
    "finding_page": runs.FindingPage,
    "trend": runs.Trend,
    "repository": repositories.Repository,
    "hook_secret": repositories.HookSecret,
    "follow": repositories.Follow,
    "evaluation": evaluations.Evaluation,
    "evaluation_summary": evaluations.EvaluationSummary,
    "report": accounts.Report,
    "api_key": accounts.ApiKey,
    "created_key": accounts.CreatedKey,
    "usage": accounts.Usage,
    "queue": operations.Queue,
    "ends": operations.Ends,
    "owned_webhook": operations.WebhookDelivery,
    "pause": operations.Pause,
}
"""By the name of the schema."""

WITHOUT_MODEL = {
    "description", "file_tree", "run_history", "evaluation_results",  # documents that are mappings
    "run_comparison",  # its schema names a part of it only; the test against the service reads it
    "problem_list", "webhook_list", "run_insights", "run_tags", "key_list", "worker_list", "repository_list",
    "draining", "hook_outcome",  # one field is read
    "job_page", "run_page", "repository_page", "follow_page", "evaluation_page", "report_page", "audit_page",
    "check_page", "owned_webhook_page",
}  # fmt: skip
INNER = {
    ("evaluation", "members"): evaluations.EvaluationMember,
    ("trend", "runs"): runs.TrendRun,
    ("usage", "months"): accounts.MonthOfUse,
    ("job", "attempt_errors"): jobs.AttemptError,
    ("worker_list", "workers"): operations.Worker,
    ("audit_page", "entries"): operations.AuditEntry,
    ("check_page", "checks"): operations.Check,
    ("ends", "minutes"): operations.MinuteOfEnds,
    ("problem_list", "problems"): operations.ProblemCode,
    ("completeness", "skipped"): runs.SkippedFile,
}
"""Models of what is described within another schema, as the items of a list."""


DESCRIBED: dict[str, tuple[Any, dict[str, Any]]] = {
    **{name: (model, SCHEMAS[name]) for name, model in MODELS.items()},
    **{
        f"{name}.{field}": (model, SCHEMAS[name]["properties"][field]["items"])
        for (name, field), model in INNER.items()
    },
}


@pytest.mark.parametrize("name", DESCRIBED)
def test_a_model_has_every_field_and_requires_none_that_may_be_absent(name: str) -> None:
    model, schema = DESCRIBED[name]
    assert {field.name for field in fields(model)} == set(schema["properties"])
    required = {each.name for each in fields(model) if each.default is each.default_factory is MISSING}
    assert required <= set(schema["required"])


def test_every_answer_has_a_model() -> None:
    answered = {answer.schema for answers in ANSWERS.values() for answer in answers if answer.schema is not None}
    assert answered <= set(MODELS) | WITHOUT_MODEL


def test_every_problem_has_an_exception_of_its_status() -> None:
    for problem in PROBLEMS:
        kind = error_class(problem.status, problem.code)
        assert issubclass(kind, ProblemError)
        assert kind is not InvalidRequestError or problem.status in {400, 405, 408, 413, 415, 421, 422}


def imported_packages(module: Path) -> Sequence[str]:
    nodes = list(ast.walk(ast.parse(module.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return [name.partition(".")[0] for name in names]


def test_the_client_imports_httpx_and_nothing_of_ours() -> None:
    modules = list(SOURCE.rglob("*.py"))
    assert len(modules) > 20
    imported = {name for module in modules for name in imported_packages(module)}
    assert imported - sys.stdlib_module_names == {"httpx", "vibe8"}
