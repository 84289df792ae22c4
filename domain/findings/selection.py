"""The choice of findings that a reader wants to see."""

from dataclasses import dataclass

from domain.errors import InvalidInputError
from domain.findings.roles import Role
from domain.findings.severity import SEVERITIES, FindingSeverity
from domain.findings.states import FindingState
from domain.text import one_line

PATH_LIMIT = 1_000
"""The most characters of a path with wildcards."""

LISTED_STATES = tuple(state for state in FindingState if state is not FindingState.FIXED)
"""The states of a run's own findings. What is fixed is none of them: its comparison lists it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingFilter:
    """What findings must have. An empty set accepts all values.

    `severity` is the least one. In `path`, `*` stands for any characters, also slashes, and `?` for one. Raises
    InvalidInputError for a path that is too long, and for states that no finding of a run has.
    """

    states: frozenset[FindingState] = frozenset()
    severity: FindingSeverity = FindingSeverity.INFO
    metrics: frozenset[str] = frozenset()
    path: str | None = None
    roles: frozenset[Role] = frozenset({Role.SOURCE})

    def __post_init__(self) -> None:
        if self.path is not None and len(self.path) > PATH_LIMIT:
            raise InvalidInputError(f"the path has {len(self.path)} characters; at most {PATH_LIMIT} are allowed")
        if not self.states <= set(LISTED_STATES):
            raise InvalidInputError("a run does not list fixed findings; its comparison does")

    @property
    def severities(self) -> tuple[FindingSeverity, ...]:
        """The severities that pass."""
        return SEVERITIES[self.severity.rank :]

    def check_metrics(self, known: frozenset[str]) -> None:
        """Raise InvalidInputError for a metric that is none of these."""
        if unknown := sorted(self.metrics - known):
            choices = ", ".join(sorted(known)) or "none"
            raise InvalidInputError(f"the run has no findings of {one_line(unknown[0], 40)!r}; its metrics: {choices}")
