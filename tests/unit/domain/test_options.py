"""Options of a job: the JSON form, and what is refused."""

from typing import Any
from uuid import UUID

import pytest

from domain.errors import InvalidInputError
from domain.gate.policy import DEFAULT_POLICY
from domain.options import JobOptions

METRICS = ("lint", "dead_code")


@pytest.mark.parametrize(
    "options",
    [
        JobOptions(),
        JobOptions(baseline=UUID(int=7)),
        JobOptions(gate=DEFAULT_POLICY),
        JobOptions(collectors=("lint",), include=("src",), exclude=("**/tests",), tags={"domain": ["web"]}),
    ],
)
def test_options_are_read_from_the_form_that_they_write(options: JobOptions) -> None:
    assert JobOptions.from_json(options.to_json(), METRICS) == options


def test_options_that_are_not_given_are_not_written() -> None:
    assert JobOptions().to_json() == {}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"basline": None},
            "the job's options have an unknown key 'basline'; they accept baseline, collectors, ",
        ),
        ({"collectors": ["lynt"]}, "unknown metric 'lynt'"),
        ({"include": "src"}, "the option include must be a list of globs"),
        ({"exclude": [7]}, "the option exclude must be a list of globs"),
        ({"tags": ["web"]}, "tags must be an object of lists"),
        ({"tags": {"domain": ["w\0b"]}}, "characters that are not shown"),
        ({"baseline": "x"}, "the option baseline must be the id of a run"),
        ({"baseline": 7}, "the option baseline must be the id of a run"),
        ({"baseline": ["x"]}, "the option baseline must be the id of a run"),
        ({"gate": []}, "the gate policy must be a JSON object"),
        ({"gate": {"conditions": []}}, "conditions of the gate policy must be a list of 1 to 50 objects"),
        ({"gate": {"conditions": [{"kind": "x"}] * 10_000}}, "must be a list of 1 to 50 objects"),
    ],
)
def test_other_documents_are_refused_in_one_line(document: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        JobOptions.from_json(document, METRICS)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_options_of_a_program_are_checked_before_they_are_stored() -> None:
    loose: dict[str, Any] = {"collectors": {"lint"}, "include": ["b", "a"], "tags": {"Domain": ("Web",)}}
    read = JobOptions.from_json(JobOptions(**loose).to_json(), METRICS)
    assert read == JobOptions(collectors=("lint",), include=("a", "b"), tags={"domain": ["web"]})
    wrong: list[dict[str, Any]] = [{"collectors": 7}, {"include": 7}, {"tags": 7}, {"collectors": "lint"}]
    for options in wrong:
        with pytest.raises(InvalidInputError):
            JobOptions.from_json(JobOptions(**options).to_json(), METRICS)


def test_a_run_keeps_the_options_without_the_tags() -> None:
    assert JobOptions(exclude=("tests",), tags={"domain": ["web"]}).of_run() == {"exclude": ["tests"]}
