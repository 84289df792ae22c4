"""Options of a job: what its submission asks for beside the source. They are kept with the run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from domain.errors import InvalidInputError
from domain.gate.policy import Policy, parse_policy
from domain.text import JSON, one_line

KNOWN_OPTIONS = frozenset({"baseline", "gate"})
"""The keys of the JSON form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """`baseline` is the run to compare with, and `gate` the policy to judge by; None leaves the worker to choose."""

    baseline: UUID | None = None
    gate: Policy | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, JSON], metrics: Sequence[str]) -> Self:
        """Read what `to_json` made, or another program wrote. `metrics` are the names that a policy may use.

        Raises InvalidInputError, in one line.
        """
        if unknown := sorted(str(key) for key in document.keys() - KNOWN_OPTIONS):
            accepted = ", ".join(sorted(KNOWN_OPTIONS))
            raise InvalidInputError(
                f"the job's options have an unknown key {one_line(unknown[0], 50)!r}; they accept {accepted}"
            )
        baseline, gate = document.get("baseline"), document.get("gate")
        return cls(
            baseline=None if baseline is None else _run_id(baseline),
            gate=None if gate is None else parse_policy(gate, metrics),
        )

    def to_json(self) -> dict[str, JSON]:
        """Return the JSON form, without what is not given."""
        form: dict[str, JSON] = {}
        if self.baseline is not None:
            form["baseline"] = str(self.baseline)
        if self.gate is not None:
            form["gate"] = self.gate.to_json()
        return form


def _run_id(value: JSON) -> UUID:
    try:
        return UUID(value)
    except (ValueError, AttributeError, TypeError):
        raise InvalidInputError("the option baseline must be the id of a run") from None
