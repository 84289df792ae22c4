"""What a comparison of runs needs to know of the metrics, from their declarations."""

from collections.abc import Iterable

from collectors.contract import AnyCollector, is_file_collector
from domain.findings.traits import MetricTraits
from domain.metrics.declaration import MetricDeclaration


def traits_of(collectors: Iterable[AnyCollector]) -> dict[str, MetricTraits]:
    """Return the traits of each metric with findings, by name."""
    return {
        collector.metric.name: MetricTraits(
            identity=collector.metric.finding_identity,
            tool=collector.metric.tool,
            file_number=_rated_field(collector.metric),
            needs_syntax=is_file_collector(collector) and collector.needs_syntax,
        )
        for collector in collectors
        if collector.metric.finding_identity is not None
    }


def _rated_field(metric: MetricDeclaration) -> tuple[str, str] | None:
    """Return the keys, in a file's `metrics`, of a number that is null where the file was not measured."""
    of_file = metric.file_metric
    if of_file is None or not of_file.fields:
        return None
    rated = None if of_file.rated is None else of_file.rated.number
    field = next((field for field in of_file.fields if field.number == rated), of_file.fields[0])
    return of_file.key, field.key
