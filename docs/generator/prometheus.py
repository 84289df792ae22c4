"""The page of the Prometheus metrics of a worker, from their definitions and from the alert rules."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml
from prometheus_client.metrics import MetricWrapperBase

from docs.generator.markdown import NOTE, cell, table
from infrastructure.observability import http_metrics, prometheus_metrics

ALERTS = Path(__file__).parents[2] / "deploy/prometheus/alerts.yml"

HEAD = f"""\
# Prometheus metrics
{NOTE}

A worker serves them on `/metrics` of `STATUS_HOST:STATUS_PORT`, and so does `vibe8 serve`, whose own begin with
`vibe8_http`. Durations are in seconds, with histogram buckets from 0.005 to 600. The usual `process_*` and `python_*`
metrics of the process (without its children) are there too.
`deploy/prometheus/alerts.yml` has the alert rules, [the runbook](operations.md#alerts) says what to do, and
`deploy/grafana/vibe8.json` is a board.

"""


def page() -> str:
    """Return the page."""
    return HEAD + table(("metric", "kind", "labels", "meaning", "alerts"), _rows())


def _rows() -> Iterable[Sequence[str]]:
    alerts = _alerts()
    for value in (*vars(prometheus_metrics).values(), *vars(http_metrics).values()):
        if isinstance(value, MetricWrapperBase):
            (family,) = value.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ", ".join(f"`{label}`" for label in value._labelnames)  # noqa: SLF001 - it has no public name
            users = [
                alert for alert, expression in alerts if re.search(rf"\b{name}(_bucket|_sum|_count)?\b", expression)
            ]
            linked = ", ".join(f"[{alert}](operations.md#{alert.lower()})" for alert in users)
            yield f"`{name}`", family.type, labels or "-", cell(family.documentation), linked or "-"


def _alerts() -> Sequence[tuple[str, str]]:
    """Return the name and the expression of each alert."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [(rule["alert"], rule["expr"]) for group in groups for rule in group["rules"] if "alert" in rule]
