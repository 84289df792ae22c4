"""Timeline of one attempt: its stages, by the monotonic clock. The attempt's log line and trace are made from it."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One stage. `started` and `ended` are monotonic seconds; `error_type` names the exception that ended it."""

    name: str
    started: float
    ended: float
    error_type: str | None = None

    @property
    def duration_ms(self) -> int:
        """Duration in milliseconds."""
        return round((self.ended - self.started) * 1000)


@dataclass(slots=True)
class Timeline:
    """The stages of one attempt, in the order in which they ended.

    `timings_ms` holds the analysis's own timings once there is an analysis. `outcome` says how the attempt ended, and
    `reason` why it did not complete.
    """

    started: float = field(default_factory=time.monotonic)
    spans: list[Span] = field(default_factory=list)
    timings_ms: Mapping[str, int] = field(default_factory=dict)
    outcome: str = "lost"
    reason: str | None = None

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Record the block as one stage, also when it raises."""
        with self.consecutive_spans(name):
            yield

    @contextmanager
    def consecutive_spans(self, first: str) -> Iterator[Callable[[str], None]]:
        """Record the block as consecutive stages, also when it raises.

        Yields a function that ends the current stage and starts the next one, given its name.
        """
        name, started, error_type = first, time.monotonic(), None

        def start_next(next_name: str) -> None:
            nonlocal name, started
            now = time.monotonic()
            self.spans.append(Span(name=name, started=started, ended=now, error_type=error_type))
            name, started = next_name, now

        try:
            yield start_next
        except BaseException as error:
            error_type = type(error).__name__
            raise
        finally:
            start_next("")

    @property
    def elapsed_ms(self) -> int:
        """Milliseconds since the start."""
        return round((time.monotonic() - self.started) * 1000)

    def stages_ms(self) -> dict[str, int]:
        """Map each stage to its milliseconds in all; a stage that was cut short is included."""
        stages: dict[str, int] = {}
        for span in self.spans:
            stages[span.name] = stages.get(span.name, 0) + span.duration_ms
        return stages
