"""The Prometheus metrics of a replica. docs/prometheus.md is generated from this module; deploy/ has the alerts."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from domain.jobs import JobStatus, StatusCount

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_BUCKETS_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

JOBS = Gauge("vibe8_jobs", "Jobs in PostgreSQL by status, of the whole fleet.", ["status"], registry=REGISTRY)
OLDEST_JOB_AGE = Gauge(
    "vibe8_oldest_job_age_seconds",
    "Age of the oldest job by status, of the whole fleet; 0 without such a job.",
    ["status"],
    registry=REGISTRY,
)
COUNT_AGE = Gauge(
    "vibe8_jobs_counted_age_seconds",
    "Time since one replica counted the jobs for all; more than a minute: `vibe8_jobs` is out of date.",
    registry=REGISTRY,
)
AUDIT_DEFAULT_ROWS = Gauge(
    "vibe8_audit_default_partition_rows",
    "Rows in the audit log's default partition, counted to 1000; more than 0: cleanup makes no partitions.",
    registry=REGISTRY,
)
CHECKS_OVERDUE = Gauge(
    "vibe8_repository_checks_overdue",
    "Tracked repositories whose check was due more than 10 minutes ago, counted to 10000.",
    registry=REGISTRY,
)
REPOSITORY_CHECKS = Counter(
    "vibe8_repository_checks",
    "Checks of tracked repositories on this replica by outcome (unchanged, moved, failed, refused: by a limit of the "
    "owner, lost, interrupted).",
    ["outcome"],
    registry=REGISTRY,
)
HOOKS = Counter(
    "vibe8_push_hooks",
    "Push hooks that this process has received by outcome (checking, repeated, ignored, unsigned).",
    ["outcome"],
    registry=REGISTRY,
)
SLOTS = Gauge("vibe8_slots", "Job slots of this replica by state (busy, free).", ["state"], registry=REGISTRY)
DATABASE_CONNECTIONS = Gauge(
    "vibe8_database_connections",
    "Connections of this replica to PostgreSQL by state (used, idle), and their limit.",
    ["state"],
    registry=REGISTRY,
)
SCRATCH_FREE = Gauge(
    "vibe8_scratch_free_bytes", "Free space in this replica's scratch directory (SCRATCH_DIR).", registry=REGISTRY
)
READY = Gauge("vibe8_ready", "Whether this replica can claim a job (1) or not (0).", registry=REGISTRY)

CLAIMS = Counter(
    "vibe8_claims", "Claims of this replica by result (claimed, empty: no job was due).", ["result"], registry=REGISTRY
)
ATTEMPTS_FINISHED = Counter(
    "vibe8_attempts_finished",
    "Attempts that ended on this replica, by outcome (completed, failed, retried, requeued, lost) and kind of error.",
    ["outcome", "kind"],
    registry=REGISTRY,
)
RESCUES = Counter(
    "vibe8_rescues", "Jobs rescued from lost workers, by their new status.", ["status"], registry=REGISTRY
)
WAKEUPS_MISSED = Counter(
    "vibe8_wakeups_missed", "Jobs that an idle worker found in PostgreSQL without a wake-up.", registry=REGISTRY
)
HEARTBEATS = Counter("vibe8_heartbeats", "Lease renewals by result (ok, unreachable).", ["result"], registry=REGISTRY)
LEASES_LOST = Counter("vibe8_leases_lost", "Leases lost while their job was running.", registry=REGISTRY)

JOB_WAIT = Histogram(
    "vibe8_job_wait_seconds",
    "Time from when a job is due until its claim.",
    buckets=_BUCKETS_SECONDS,
    registry=REGISTRY,
)
JOB_DURATION = Histogram(
    "vibe8_job_duration_seconds", "Time from claim to completion.", buckets=_BUCKETS_SECONDS, registry=REGISTRY
)
STAGES = ("fetching", "core_wait", "collecting", "summarizing", "looking_up", "finishing")
STAGE_DURATION = Histogram(
    "vibe8_stage_duration_seconds",
    f"Wall time of a completed job's stages ({', '.join(STAGES)}).",
    ["stage"],
    buckets=_BUCKETS_SECONDS,
    registry=REGISTRY,
)
COLLECTOR_CPU = Histogram(
    "vibe8_collector_cpu_seconds",
    "CPU time of a collector in a job.",
    ["collector"],
    buckets=_BUCKETS_SECONDS,
    registry=REGISTRY,
)
CHILD_KINDS = ("fetch", "collect", "fetch+collect", "fetch_each+collect_each", "heads")
"""What a child process does; `fetch+collect` is for a small upload, `fetch_each+collect_each` for several of one user,
`heads` for the check of a tracked repository."""

CHILD_PROCESSES = Gauge(
    "vibe8_child_processes", "Running child processes of this replica, by entry.", ["entry"], registry=REGISTRY
)
CHILD_CPU = Counter(
    "vibe8_child_cpu_seconds",
    "CPU time of children that returned a result, with all their descendants, by entry.",
    ["entry"],
    registry=REGISTRY,
)
FETCHED_BYTES = Counter(
    "vibe8_fetched_bytes",
    "Bytes that fetched sources took in scratch (files, and the objects of a clone), by kind (upload, repository).",
    ["kind"],
    registry=REGISTRY,
)

FACTS_CACHE_LOOKUPS = Counter(
    "vibe8_facts_cache_lookups",
    "Entries looked up in the facts cache, by result (hit, miss); two for each file.",
    ["result"],
    registry=REGISTRY,
)
FACTS_CACHE_ERRORS = Counter(
    "vibe8_facts_cache_errors",
    "Operations (get, put) of the facts cache that failed because Redis was unreachable, slow or full.",
    ["operation"],
    registry=REGISTRY,
)
FACTS_CACHE_BYTES = Gauge(
    "vibe8_facts_cache_bytes",
    "Size of the fleet's facts cache after this replica's last write to it.",
    registry=REGISTRY,
)
WEBHOOK_DELIVERIES = Counter(
    "vibe8_webhook_deliveries",
    "Webhook deliveries by outcome of the attempt (delivered, failed: it is retried, given_up).",
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
"""Outcomes of an attempt, each with the expected kinds of error."""


def _create_series() -> None:
    """Create the known series with value 0: `rate` and `increase` miss the first rise of a series that begins at 1."""
    for outcome, kinds in OUTCOMES.items():
        for kind in kinds:
            ATTEMPTS_FINISHED.labels(outcome, kind)
    for metric, values in (
        (CLAIMS, ("claimed", "empty")),
        (RESCUES, (JobStatus.PENDING.value, JobStatus.FAILED.value)),
        (HEARTBEATS, ("ok", "unreachable")),
        (FETCHED_BYTES, ("upload", "repository")),
        (CHILD_PROCESSES, CHILD_KINDS),
        (CHILD_CPU, CHILD_KINDS),
        (FACTS_CACHE_LOOKUPS, ("hit", "miss")),
        (FACTS_CACHE_ERRORS, ("get", "put")),
        (WEBHOOK_DELIVERIES, ("delivered", "failed", "given_up")),
        (REPOSITORY_CHECKS, ("unchanged", "moved", "failed", "refused", "lost", "interrupted")),
        (HOOKS, ("checking", "repeated", "ignored", "unsigned")),
    ):
        for value in values:
            metric.labels(value)


_create_series()


def set_queue_gauges(counts: Mapping[JobStatus, StatusCount], age_seconds: float) -> None:
    """Set the gauges of the whole fleet's jobs, which were counted `age_seconds` ago."""
    COUNT_AGE.set(age_seconds)
    for status, count in counts.items():
        JOBS.labels(status.value).set(count.jobs)
        OLDEST_JOB_AGE.labels(status.value).set(count.oldest_seconds)


def observe_timings(timings_ms: Mapping[str, int], collectors: Iterable[str]) -> None:
    """Observe the stages and collectors of a completed job.

    A child process writes the timings, so unknown names are ignored: they must not create time series.
    """
    for stage in STAGES:
        if stage in timings_ms:
            STAGE_DURATION.labels(stage).observe(timings_ms[stage] / 1000)
    for collector in collectors:
        if f"collect.{collector}" in timings_ms:
            COLLECTOR_CPU.labels(collector).observe(timings_ms[f"collect.{collector}"] / 1000)
