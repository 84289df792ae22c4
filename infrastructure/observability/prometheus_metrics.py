"""What a replica tells Prometheus. Names and meanings are in docs/metrics.md and the alerts in deploy/."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from domain.jobs import JobStatus, StatusCount
from domain.metrics.report import COLLECTORS

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

JOBS = Gauge("vibe8_jobs", "Jobs in PostgreSQL by status, the whole fleet's.", ["status"], registry=REGISTRY)
OLDEST = Gauge(
    "vibe8_oldest_job_seconds", "Age of the oldest job by status, the whole fleet's.", ["status"], registry=REGISTRY
)
SLOTS = Gauge("vibe8_slots", "Slots of this replica by state (busy, free).", ["state"], registry=REGISTRY)
POOL = Gauge(
    "vibe8_database_connections",
    "This replica's connections to PostgreSQL by state (used, idle, and the limit of both).",
    ["state"],
    registry=REGISTRY,
)
SCRATCH_FREE = Gauge(
    "vibe8_scratch_free_bytes", "Free space where this replica's sources are put (SCRATCH_DIR).", registry=REGISTRY
)
READY = Gauge("vibe8_ready", "Whether this replica can claim a job (1) or not (0).", registry=REGISTRY)

CLAIMS = Counter("vibe8_claims", "Claims of this replica; `empty` found nothing due.", ["result"], registry=REGISTRY)
FINISHED = Counter(
    "vibe8_jobs_finished",
    "Attempts that ended here, by outcome (completed, failed, retried, requeued, lost) and kind of fault.",
    ["outcome", "kind"],
    registry=REGISTRY,
)
RESCUES = Counter("vibe8_rescues", "Jobs whose lease ran out, by what became of them.", ["status"], registry=REGISTRY)
RINGS = Counter("vibe8_rings", "Doorbells that the sweep rang again.", registry=REGISTRY)
HEARTBEATS = Counter("vibe8_heartbeats", "Renewals of leases (ok, unreachable).", ["result"], registry=REGISTRY)
LEASES_LOST = Counter("vibe8_leases_lost", "Leases that ended under a running job.", registry=REGISTRY)

WAITED = Histogram("vibe8_job_wait_seconds", "From being due to being claimed.", buckets=_SECONDS, registry=REGISTRY)
JOB_SECONDS = Histogram("vibe8_job_seconds", "From claim to completion.", buckets=_SECONDS, registry=REGISTRY)
STAGES = ("fetching", "core_wait", "collecting", "summarizing", "looking_up", "finishing")
STAGE_SECONDS = Histogram(
    "vibe8_stage_seconds",
    f"Wall time of a completed job's stages ({', '.join(STAGES)}).",
    ["stage"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
COLLECTOR_SECONDS = Histogram(
    "vibe8_collector_seconds",
    "CPU time of a collector for a job.",
    ["collector"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
CHILD_KINDS = ("fetch", "collect", "fetch+collect")
"""The last is for small uploads."""

CHILDREN = Gauge("vibe8_children", "Children at work on this replica, by entry.", ["entry"], registry=REGISTRY)
CHILD_CPU = Counter(
    "vibe8_child_cpu_seconds",
    "CPU time of children that answered, all their processes together, by entry.",
    ["entry"],
    registry=REGISTRY,
)
FETCHED_BYTES = Counter(
    "vibe8_fetched_bytes",
    "Bytes that sources took in scratch: their files, and a clone's objects.",
    ["kind"],
    registry=REGISTRY,
)

FACTS_LOOKED_UP = Counter(
    "vibe8_facts_looked_up",
    "Entries that the cache of facts was asked for, by result (hit, miss); two for each file.",
    ["result"],
    registry=REGISTRY,
)
FACTS_FAULTS = Counter(
    "vibe8_facts_faults",
    "Times that the cache of facts was away, slow or full; the facts were then found anew.",
    ["operation"],
    registry=REGISTRY,
)
FACTS_BYTES = Gauge(
    "vibe8_facts_bytes", "Size of the fleet's cache of facts, when this replica last wrote to it.", registry=REGISTRY
)
NOTICES = Counter(
    "vibe8_notices",
    "Notices of ended jobs by what became of a delivery: delivered, failed (it is tried again), given_up.",
    ["outcome"],
    registry=REGISTRY,
)

OUTCOMES: Mapping[str, tuple[str, ...]] = {
    "completed": ("",),
    "requeued": ("",),
    "lost": ("",),
    "retried": ("AnalysisKilledError", "ServiceUnavailableError", "TransientError"),
    "failed": ("AnalysisKilledError", "CancelledByUserError", "InvalidInputError", "PermanentError",
               "ServiceUnavailableError", "TransientError"),
}  # fmt: skip
"""The outcomes of attempts, and the kinds of faults that are foreseen for each."""


def _begin_at_zero() -> None:
    """A counter that first appears as 1 has not risen, as far as `rate` and `increase` can tell."""
    for outcome, kinds in OUTCOMES.items():
        for kind in kinds:
            FINISHED.labels(outcome, kind)
    for metric, values in (
        (CLAIMS, ("claimed", "empty")),
        (RESCUES, (JobStatus.PENDING.value, JobStatus.FAILED.value)),
        (HEARTBEATS, ("ok", "unreachable")),
        (FETCHED_BYTES, ("upload", "repository")),
        (CHILDREN, CHILD_KINDS),
        (CHILD_CPU, CHILD_KINDS),
        (FACTS_LOOKED_UP, ("hit", "miss")),
        (FACTS_FAULTS, ("look_up", "keep")),
        (NOTICES, ("delivered", "failed", "given_up")),
    ):
        for value in values:
            metric.labels(value)


_begin_at_zero()


def note_queue(counts: Mapping[JobStatus, StatusCount]) -> None:
    """Set the fleet's gauges."""
    for status, count in counts.items():
        JOBS.labels(status.value).set(count.jobs)
        OLDEST.labels(status.value).set(count.oldest_seconds)


def note_timings(timings_ms: Mapping[str, int]) -> None:
    """Observe a finished job's stages and collectors; what a child names besides is not to become a time series."""
    for stage in STAGES:
        if stage in timings_ms:
            STAGE_SECONDS.labels(stage).observe(timings_ms[stage] / 1000)
    for collector in COLLECTORS:
        if f"collect.{collector}" in timings_ms:
            COLLECTOR_SECONDS.labels(collector).observe(timings_ms[f"collect.{collector}"] / 1000)
