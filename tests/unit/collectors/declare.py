"""Declarations for the collectors that tests define."""

from domain.metrics.declaration import AggregateField, FileField, FileMetric, MetricDeclaration, RowFormat


def declare(name: str, *keys: str, numbers: tuple[str, ...] = ()) -> MetricDeclaration:
    """Return a declaration with these aggregate keys; with numbers, also a file metric of the same name."""
    fields = tuple(FileField(key=number, number=number, meaning=f"The {number}.") for number in numbers)
    return MetricDeclaration(
        name=name,
        tool="own",
        version="1",
        aggregate=tuple(AggregateField(key=key, meaning=f"The {key}.") for key in keys),
        row=RowFormat(text=", ".join(f"{{{key}}} {key}" for key in keys)),
        file_metric=FileMetric(key=name, fields=fields) if fields else None,
    )
