"""Run the service until a signal: connections, probes, uvicorn, and an end that breaks no answer off."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, nullcontext
from importlib.metadata import version
from types import FrameType

import structlog
import uvicorn

from domain.errors import InvalidInputError
from infrastructure.observability.status_server import StatusServer
from infrastructure.observability.tracing import Tracer
from infrastructure.service_urls import http_address
from infrastructure.settings import Settings
from worker.client import Client
from worker.client.connections import environment_tracer, open_connections
from worker.client.operator import OperatorClient
from worker.http.app import create_app
from worker.http.identity import BearerKeys, FirstOf
from worker.http.options import HttpOptions
from worker.http.server.health import HttpHealth
from worker.http.server.protocol import BoundedH11Protocol
from worker.http.server.trusted_header import TrustedHeader

GRACE_SECONDS = 20
"""Seconds that answers may still take after SIGTERM. Event streams end at once; their readers connect again."""

MAX_CONNECTIONS = 2_000
"""Connections of one process beside its event streams. A further one is answered 503."""

OTHER_FILES = 1_000
"""Open files beside them: connections to PostgreSQL and Redis, uploads, and connections that are being refused."""

log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it listens and when it begins to end, and does not raise the signal again."""

    def __init__(self, config: uvicorn.Config, *, on_start: Callable[[int], None], on_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start, self._on_exit = on_start, on_exit

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. Raises InvalidInputError where the port cannot be used."""
        try:
            await super().startup(sockets)
        except SystemExit:  # uvicorn's answer to a port that it cannot have
            raise InvalidInputError(
                f"HTTP_PORT {self.config.port} on {self.config.host} cannot be used: "
                "another program has it, or the address is not this machine's"
            ) from None
        self._on_start(self.servers[0].sockets[0].getsockname()[1])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to shut down."""
        super().handle_exit(sig, frame)
        self._captured_signals.clear()
        self._on_exit()


async def serve(settings: Settings, on_ready: Callable[[str], None] = lambda _: None) -> None:
    """Serve until SIGTERM or Ctrl-C. `on_ready` gets the service's address when it accepts connections.

    Starts also while PostgreSQL is away, and answers 503 until it is there. Raises InvalidInputError where the port
    cannot be used.
    """
    allow_open_files(settings.http_max_streams + MAX_CONNECTIONS + OTHER_FILES)
    health = HttpHealth()
    status = _status_server(settings, health)
    with nullcontext() if status is None else closing(status):
        kept = _keeping_connections(settings)
        async with environment_tracer() as tracer, open_connections(kept, lazy_redis=True) as connections:
            client = Client(connections, settings, tracer)
            operator = OperatorClient(connections, settings, tracer)
            async with _watched(health, operator):
                port = None if status is None else status.port
                await _run_uvicorn(settings, client, operator, health, tracer, port, on_ready)


def allow_open_files(count: int) -> None:
    """Raise the process's soft limit of open files to `count`, or as far as its hard limit allows.

    Many systems begin with 1,024: the service could then accept no connection, and reach no PostgreSQL, long before it
    refuses a connection by its own limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _keeping_connections(settings: Settings) -> Settings:
    """Return the settings with a pool that keeps every connection it has opened.

    Many short requests at once would otherwise open and close the additional ones all the time, which takes several
    times as long as the requests themselves.
    """
    size = settings.db_pool_size + settings.db_max_overflow
    return settings.model_copy(update={"db_pool_size": size, "db_max_overflow": 0})


async def _run_uvicorn(
    settings: Settings,
    client: Client,
    operator: OperatorClient,
    health: HttpHealth,
    tracer: Tracer,
    status_port: int | None,
    on_ready: Callable[[str], None],
) -> None:
    options = HttpOptions.from_settings(settings)
    identify = FirstOf([BearerKeys(client, options), TrustedHeader(client, options)])
    closing = asyncio.Event()
    app = create_app(client, identify=identify, options=options, operator=operator, tracer=tracer, closing=closing)

    def drain() -> None:
        health.drain()
        closing.set()

    def announce(port: int) -> None:
        address = http_address(settings.http_host, port)
        log.info("http.started", address=address, status_port=status_port, version=version("vibe8-worker"))
        on_ready(address)

    await _Server(_configuration(app, settings), on_start=announce, on_exit=drain).serve()
    log.info("http.stopped")


def _configuration(app: object, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=settings.http_host,
        port=settings.http_port,
        loop="none",
        http=BoundedH11Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # it would replace the peer's address by what a header says
        limit_concurrency=settings.http_max_streams + MAX_CONNECTIONS,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def _status_server(settings: Settings, health: HttpHealth) -> StatusServer | None:
    if settings.status_port is None:
        return None
    return StatusServer(
        settings.status_host, settings.status_port, alive=health.not_alive_reason, ready=health.not_ready_reason
    )


@asynccontextmanager
async def _watched(health: HttpHealth, operator: OperatorClient) -> AsyncIterator[None]:
    watching = asyncio.create_task(health.watch(operator))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
