"""Traces of jobs from submission to end, through workers and servers."""

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import UUID

import asyncpg
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from collectors.engine.discovery import discover
from domain.jobs import JobStatus
from infrastructure.observability.opentelemetry_tracer import OpenTelemetryTracer
from infrastructure.observability.tracer_factory import open_tracer
from infrastructure.observability.tracing import NoTracer
from tests.fixtures.jobs import PYTHON_FILE, slow_source
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import TIMEOUT_SECONDS, System, until_finished
from worker.client import Client
from worker.process.worker_process import WorkerProcess

# ARQ calls a method of redis-py that is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")

COLLECTORS = {f"collector {collector.metric.name}" for collector in discover()}


class RecordedSpans:
    """A tracer whose spans are kept in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = OpenTelemetryTracer(provider, owned=False)

    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans() if span.name == name]

    def below(self, parent: ReadableSpan) -> list[ReadableSpan]:
        assert parent.context is not None
        return [span for span in self.spans() if span.parent and span.parent.span_id == parent.context.span_id]


@pytest.fixture
def recorded() -> RecordedSpans:
    return RecordedSpans()


@pytest.fixture
async def traced_client(system: System, recorded: RecordedSpans) -> AsyncIterator[Client]:
    async with Client.open(system.settings, recorded.tracer) as client:
        yield client


@asynccontextmanager
async def working(system: System, recorded: RecordedSpans) -> AsyncIterator[WorkerProcess]:
    """Run a worker in this process."""
    process = WorkerProcess(system.settings, recorded.tracer)
    running = asyncio.create_task(process.run())
    try:
        yield process
    finally:
        process.drain()
        await running


def span_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.span_id:016x}"


def nanoseconds(span: ReadableSpan) -> tuple[int, int]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time, span.end_time


async def test_trace_of_a_job_from_submission_to_end(
    system: System, recorded: RecordedSpans, traced_client: Client
) -> None:
    user_id = await traced_client.get_or_create_user("ann@example.org")
    job = await traced_client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    async with working(system, recorded):
        await until_finished(traced_client, user_id, job.job_id)
        await until(lambda: recorded.named("attempt"))
    (submit,), (queue,), (attempt,) = (recorded.named(name) for name in ("submit", "queue", "attempt"))
    assert len({span.context.trace_id for span in recorded.spans() if span.context}) == 1
    assert submit.parent is None
    assert {span_id(span) for span in recorded.below(submit)} == {span_id(queue), span_id(attempt)}
    stages = {span.name: span for span in recorded.below(attempt)}
    assert list(stages) == ["core_wait", "fetching", "collecting", "looking_up", "finishing"]
    assert {span.name for span in recorded.below(stages["collecting"])} == COLLECTORS | {"summarizing"}
    assert attempt.attributes
    assert dict(attempt.attributes) == {
        "vibe8.job_id": job.job_id,
        "vibe8.attempt": 1,
        "vibe8.user_id": str(user_id),
        "vibe8.source": "upload .py",
        "vibe8.outcome": "completed",
    }
    for parent in (attempt, stages["collecting"]):
        for child in recorded.below(parent):
            (began, ended), (first, last) = nanoseconds(parent), nanoseconds(child)
            assert began - 2_000_000 <= first <= last <= ended + 2_000_000  # stages are recorded in whole milliseconds
    assert all(span.status.is_ok or span.status.is_unset for span in recorded.spans())


async def test_a_trace_started_by_an_api_is_continued(
    system: System, recorded: RecordedSpans, traced_client: Client
) -> None:
    user_id = await traced_client.get_or_create_user("ann@example.org")
    with recorded.tracer.span("POST /jobs", {}) as outer:
        job = await traced_client.submit_upload(user_id, filename="a.zip", content=b"no zip")
    assert outer is not None
    async with working(system, recorded):
        await until_finished(traced_client, user_id, job.job_id)
        await until(lambda: recorded.named("attempt"))
    assert {f"{span.context.trace_id:032x}" for span in recorded.spans() if span.context} == {outer.split("-")[1]}
    (attempt,), (fetching,) = recorded.named("attempt"), recorded.named("fetching")
    assert attempt.attributes
    assert attempt.attributes["vibe8.outcome"] == "failed"
    assert "not a zip" in (attempt.status.description or "")
    assert fetching.status.description == "InvalidInputError"


async def test_all_attempts_are_in_the_jobs_trace(
    system: System, recorded: RecordedSpans, traced_client: Client
) -> None:
    """The attempts of a worker that died, of one that was drained, and of one that completed the job."""
    user_id = await traced_client.get_or_create_user("ann@example.org")
    job = await traced_client.submit_upload(user_id, filename="slow.py", content=slow_source(1000))
    rows = await asyncpg.connect(system.environment["DATABASE_URL"])
    await rows.execute(
        "UPDATE jobs SET status = 'running', attempt = 1, started_at = now() - interval '1 minute',"
        " lease_expires_at = now() - interval '1 second'"
    )
    async with working(system, recorded) as first:

        async def collecting() -> bool:
            return bool(await rows.fetchval("SELECT status = 'running' AND attempt = 2 FROM jobs"))

        await until(collecting)
        first.drain()
        first.drain()
    async with working(system, recorded):
        ended = await until_finished(traced_client, user_id, job.job_id)
        await until(lambda: len(recorded.named("attempt")) == 3)
    await rows.close()
    assert (ended.status, ended.attempt) == (JobStatus.COMPLETED, 3)
    attempts = {dict(span.attributes or {})["vibe8.attempt"]: span for span in recorded.named("attempt")}
    assert [dict(attempts[number].attributes or {})["vibe8.outcome"] for number in (1, 2, 3)] == [
        "lost",
        "requeued",
        "completed",
    ]
    assert len({span.context.trace_id for span in recorded.spans() if span.context}) == 1
    (submit,) = recorded.named("submit")
    assert {span_id(attempt) for attempt in attempts.values()} <= {span_id(span) for span in recorded.below(submit)}
    began, ended_at = nanoseconds(attempts[1])
    assert ended_at - began >= 60 * 10**9
    assert attempts[1].status.description == "worker lost"


@pytest.mark.parametrize("context", ['"nonsense"', "5", "null", '"00-zz"'])
async def test_an_invalid_context_starts_a_new_trace(
    system: System, recorded: RecordedSpans, traced_client: Client, context: str
) -> None:
    user_id = await traced_client.get_or_create_user("ann@example.org")
    job = await traced_client.submit_upload(user_id, filename="a.zip", content=b"no zip")
    rows = await asyncpg.connect(system.environment["DATABASE_URL"])
    await rows.execute(
        "UPDATE jobs SET source_metadata = jsonb_set(source_metadata, '{traceparent}', $1::text::jsonb)", context
    )
    await rows.close()
    async with working(system, recorded):
        await until_finished(traced_client, user_id, job.job_id)
        await until(lambda: recorded.named("attempt"))
    assert recorded.named("attempt")[0].parent is None


class Collector(ThreadingHTTPServer):
    """An OTLP endpoint on loopback."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.traces: set[str] = set()
        self.services: set[str] = set()
        self.headers: set[str] = set()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        request = ExportTraceServiceRequest()
        request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in request.resource_spans:
            names = {item.key: item.value.string_value for item in resource.resource.attributes}
            self.server.services.add(names["service.name"])
            for scope in resource.scope_spans:
                self.server.names |= {span.name for span in scope.spans}
                self.server.traces |= {span.trace_id.hex() for span in scope.spans}
        self.server.headers.add(self.headers.get("X-Key", ""))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_spans_are_exported_as_the_otel_variables_say(
    system: System, client: Client, collector: Collector
) -> None:
    (system.directory / "a.py").write_bytes(PYTHON_FILE)
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_address[1]}",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-key=s3cret",
    }
    async with system.worker(**variables, OTEL_SERVICE_NAME="my-worker") as worker:
        submitted = await system.run("submit", "a.py", "--json", **variables)
        traceparent = submitted.document["source_metadata"]["traceparent"]
        (done,) = await worker.until("job.completed")
        assert done["trace_id"] == traceparent.split("-")[1]
        assert await worker.stop() == 0
        assert "s3cret" not in worker.log_file.read_text()
    assert {"submit", "queue", "attempt", "fetching", "collecting", "finishing"} | COLLECTORS <= collector.names
    assert collector.traces == {traceparent.split("-")[1]}
    assert collector.services == {"vibe8", "my-worker"}
    assert collector.headers == {"s3cret"}


async def test_a_collector_that_is_away_costs_no_job(system: System, client: Client, user_id: UUID) -> None:
    async with system.worker(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1") as worker:
        job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
        assert (await until_finished(client, user_id, job.job_id)).status is JobStatus.COMPLETED
        assert await worker.stop() == 0


OFF: tuple[dict[str, str], ...] = (
    {},
    {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
)


@pytest.mark.parametrize("variables", OFF, ids=["unset", "disabled", "none"])
async def test_opentelemetry_is_not_imported_when_switched_off(system: System, variables: dict[str, str]) -> None:
    code = (
        "import sys, worker.cli.app, worker.process.worker_process, worker.client;"
        "from infrastructure.observability.tracer_factory import open_tracer;"
        "tracer = open_tracer();"
        "print(tracer.enabled, [name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=system.process_environment(**variables), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), TIMEOUT_SECONDS)
    assert out.decode() == "False []\n"


async def test_tracing_without_the_extra_is_logged_and_ignored(system: System) -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None;"
        "from infrastructure.observability.tracer_factory import open_tracer; print(open_tracer().enabled)"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        env=system.process_environment(OTEL_TRACES_EXPORTER="otlp"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), TIMEOUT_SECONDS)
    *said, on = out.decode().splitlines()
    assert on == "False"
    assert "install vibe8-worker[tracing]" in " ".join(said)


async def test_an_unknown_exporter_is_an_error(system: System) -> None:
    finished = await system.run("worker", OTEL_TRACES_EXPORTER="nonsense")
    assert finished.code == 2
    assert finished.error.splitlines()[-1] == "vibe8: OTEL_TRACES_EXPORTER: there is no exporter 'nonsense'"


def test_tracing_is_off_by_default() -> None:
    assert isinstance(open_tracer(), NoTracer)
    with NoTracer().span("x", {}) as traceparent:
        assert traceparent is None


async def test_row_of_an_untraced_job_has_no_traceparent(client: Client, user_id: UUID, system: System) -> None:
    await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    rows = await asyncpg.connect(system.environment["DATABASE_URL"])
    assert "traceparent" not in json.loads(await rows.fetchval("SELECT source_metadata FROM jobs"))
    await rows.close()
