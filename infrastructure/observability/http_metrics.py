"""The Prometheus metrics of the HTTP service. docs/prometheus.md is generated from this module too."""

from prometheus_client import Counter, Gauge, Histogram

from infrastructure.observability.prometheus_metrics import REGISTRY

_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)

REQUESTS = Counter(
    "vibe8_http_requests",
    "Requests to the HTTP service by method, route and status; 0: the client went away before an answer.",
    ["method", "route", "status"],
    registry=REGISTRY,
)
REQUEST_SECONDS = Histogram(
    "vibe8_http_request_seconds",
    "Time from the head of a request until its answer is sent. An event stream counts as long as it is open.",
    ["method", "route"],
    buckets=_BUCKETS_SECONDS,
    registry=REGISTRY,
)
EVENT_STREAMS = Gauge("vibe8_http_event_streams", "Event streams that are open at this process.", registry=REGISTRY)
