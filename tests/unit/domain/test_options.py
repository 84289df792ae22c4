"""Options of a job: the JSON form, and what is refused."""

from typing import Any
from uuid import UUID

import pytest

from domain.errors import InvalidInputError
from domain.gate.policy import DEFAULT_POLICY
from domain.options import JobOptions

METRICS = ("lint", "dead_code")


@pytest.mark.parametrize("options", [JobOptions(), JobOptions(baseline=UUID(int=7)), JobOptions(gate=DEFAULT_POLICY)])
def test_options_are_read_from_the_form_that_they_write(options: JobOptions) -> None:
    assert JobOptions.from_json(options.to_json(), METRICS) == options


def test_options_that_are_not_given_are_not_written() -> None:
    assert JobOptions().to_json() == {}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"basline": None}, "the job's options have an unknown key 'basline'; they accept baseline, gate"),
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
