from collections.abc import Callable
from dataclasses import replace

import pytest

from domain.metrics.declaration import (
    AggregateField,
    Column,
    FileField,
    FileMetric,
    InvalidDeclarationError,
    MetricDeclaration,
    RatedNumber,
    RowFormat,
    in_file_order,
    in_row_order,
)
from domain.metrics.severity import Rising, Severity

FIELD = FileField(key="count", number="count", meaning="All.")
FILE_METRIC = FileMetric(
    key="tiny", fields=(FIELD,), rated=RatedNumber(number="count", meaning="All."), thresholds=Rising(1, 2)
)
DECLARATION = MetricDeclaration(
    name="tiny",
    tool="own",
    version="1",
    aggregate=(AggregateField(key="total", meaning="All."),),
    row=RowFormat(text="{total:.1f} in all", score="total"),
    file_metric=FILE_METRIC,
)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: replace(DECLARATION, aggregate=()), "declares no aggregate field"),
        (
            lambda: replace(DECLARATION, row=RowFormat(text="", score="score")),
            "score 'score' is not an aggregate field",
        ),
        (lambda: replace(DECLARATION, homepage="javascript:alert(1)"), "is no https address"),
        (lambda: replace(DECLARATION, row=RowFormat(text="{sum}")), "text names ['sum']"),
        (
            lambda: replace(DECLARATION, aggregate=(AggregateField(key="total", meaning="All.", json_type="array"),)),
            "the field 'total' must declare items if, and only if, it is an array",
        ),
        (
            lambda: replace(DECLARATION, file_metric=replace(FILE_METRIC, rated=None)),
            "has a severity or a health input, but no rated number",
        ),
        (
            lambda: replace(DECLARATION, file_metric=replace(FILE_METRIC, judge=lambda _: Severity.LOW)),
            "has two rules of severity",
        ),
        (
            lambda: replace(DECLARATION, file_metric=replace(FILE_METRIC, health_input="tiny")),
            "the health input 'tiny' has no weight",
        ),
        (
            lambda: replace(
                DECLARATION, file_metric=replace(FILE_METRIC, column=Column(heading="tiny", of=("value",)))
            ),
            "the column adds up ['value']",
        ),
    ],
)
def test_contradictory_declaration_is_refused(make: Callable[[], MetricDeclaration], problem: str) -> None:
    with pytest.raises(InvalidDeclarationError, match=r"^metric tiny: ") as caught:
        make()
    assert problem in str(caught.value)


def test_text_of_a_row_may_use_computed_details() -> None:
    row = RowFormat(text="{sum}", details=lambda aggregate: {"sum": aggregate["total"]})
    assert replace(DECLARATION, row=row).without_value() == {"total": None}


def test_declarations_without_a_position_come_last_by_name() -> None:
    second = replace(DECLARATION, name="a")
    first = replace(
        DECLARATION, name="z", row=RowFormat(text="", position=1), file_metric=replace(FILE_METRIC, position=1)
    )
    without_file_metric = replace(DECLARATION, name="b", file_metric=None)
    declarations = [without_file_metric, second, first]
    assert [metric.name for metric in in_row_order(declarations)] == ["z", "a", "b"]
    assert [metric.name for metric in in_file_order(declarations)] == ["z", "a", "b"]
