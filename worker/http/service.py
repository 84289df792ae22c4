"""What the routes share: the client, the options, and how callers are identified. Kept in the application's state."""

from dataclasses import dataclass

from starlette.requests import Request

from worker.client import Client
from worker.client.operator import OperatorClient
from worker.http.identity import Identify
from worker.http.options import HttpOptions
from worker.http.streams import EventStreams


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One HTTP service. Without an `operator` client there is no `/ops`."""

    client: Client
    identify: Identify
    options: HttpOptions
    streams: EventStreams
    operator: OperatorClient | None = None


def service_of(request: Request) -> Service:
    """Return the service that answers the request."""
    service: Service = request.app.state.service
    return service
