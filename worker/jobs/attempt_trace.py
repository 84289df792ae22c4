"""Conversion of an attempt into spans of its job's trace.

Spans start at the database's time of the claim, so that the spans of workers whose clocks differ fit together.
"""

from collections.abc import Mapping
from datetime import datetime

from domain.jobs import Job
from domain.text import JSON
from infrastructure.observability.tracing import Attributes, SpanRecord, Tracer, valid_traceparent
from worker.analysis.timeline import Span, Timeline
from worker.jobs.job_log import source_name

TRACEPARENT = "traceparent"
"""Key in a job's `source_metadata` under which its submission's trace context is stored."""


def traceparent_of(metadata: Mapping[str, JSON]) -> str | None:
    """Return the trace context of the submission, or None if it was not traced."""
    return valid_traceparent(metadata.get(TRACEPARENT))


def record_attempt(tracer: Tracer, job: Job, timeline: Timeline) -> None:
    """Record the job's time in the queue and this attempt with its stages."""
    if not tracer.enabled or job.started_at is None:
        return
    claimed = job.started_at.timestamp()
    parent = traceparent_of(job.source_metadata)
    tracer.record(SpanRecord(name="queue", started=min(job.run_after.timestamp(), claimed), ended=claimed), parent)
    shift = claimed - timeline.started
    spans = tuple(_stage(span, shift, timeline.timings_ms) for span in timeline.spans)
    attempt = SpanRecord(
        name="attempt",
        started=claimed,
        ended=claimed + timeline.elapsed_ms / 1000,
        attributes={
            "vibe8.job_id": job.job_id,
            "vibe8.attempt": job.attempt,
            "vibe8.user_id": str(job.user_id),
            "vibe8.source": source_name(job.source_kind, job.source_metadata),
            "vibe8.outcome": timeline.outcome,
        },
        error=timeline.reason,
        children=spans,
    )
    tracer.record(attempt, parent)


def record_lost_attempt(
    tracer: Tracer, *, parent: object, began: datetime | None, ended: datetime, job_id: str, attempt: int, reason: str
) -> None:
    """Record an attempt whose worker died, on behalf of that worker."""
    if not tracer.enabled or began is None:
        return
    attributes: Attributes = {"vibe8.job_id": job_id, "vibe8.attempt": attempt, "vibe8.outcome": "lost"}
    span = SpanRecord(
        name="attempt", started=began.timestamp(), ended=ended.timestamp(), attributes=attributes, error=reason
    )
    tracer.record(span, valid_traceparent(parent))


def _stage(span: Span, shift: float, timings_ms: Mapping[str, int]) -> SpanRecord:
    began, ended = span.started + shift, span.ended + shift
    children = _collectors(began, ended, timings_ms) if span.name == "collecting" else ()
    return SpanRecord(name=span.name, started=began, ended=ended, error=span.error_type, children=children)


def _collectors(earliest: float, ended: float, timings_ms: Mapping[str, int]) -> tuple[SpanRecord, ...]:
    """Return a span for each collector, from the start of collecting to its last answer, and one for summarizing.

    The child reports these times itself, so they are limited to the stage that the worker measured.
    """
    summarizing = max(earliest, ended - timings_ms.get("summarizing", 0) / 1000)
    began = max(earliest, summarizing - timings_ms.get("collecting", 0) / 1000)
    spans = []
    for key, milliseconds in timings_ms.items():
        kind, _, name = key.partition(".")
        if kind == "wall":
            attributes: Attributes = {"vibe8.collector": name, "vibe8.cpu_ms": timings_ms.get(f"collect.{name}", 0)}
            last = min(began + milliseconds / 1000, ended)
            spans.append(SpanRecord(name=f"collector {name}", started=began, ended=last, attributes=attributes))
    if "summarizing" in timings_ms:
        spans.append(SpanRecord(name="summarizing", started=summarizing, ended=ended))
    return tuple(spans)
