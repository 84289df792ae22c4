"""What an attempt did and when, by the monotonic clock: its log line and its trace are made of this."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One stage: monotonic seconds of its beginning and its end, and the name of what ended it early."""

    name: str
    began: float
    ended: float
    fault: str | None = None

    @property
    def milliseconds(self) -> int:
        """How long it took."""
        return round((self.ended - self.began) * 1000)


@dataclass(slots=True)
class Timeline:
    """The stages of one attempt, in the order of their ends."""

    began: float = field(default_factory=time.monotonic)
    spans: list[Span] = field(default_factory=list)
    timings_ms: Mapping[str, int] = field(default_factory=dict)
    """What the analysis says of its own inside, once there is one."""
    outcome: str = "lost"
    reason: str | None = None
    """How the attempt ended, and why where it did not do its job."""

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Keep the block as a stage of that name, however it ends."""
        with self.stages(name):
            yield

    @contextmanager
    def stages(self, name: str) -> Iterator[Callable[[str], None]]:
        """Keep the block as stages in a row, however it ends; what is yielded ends one and begins the next, by name."""
        began, fault = time.monotonic(), None

        def turn(to: str) -> None:
            nonlocal name, began
            now = time.monotonic()
            self.spans.append(Span(name=name, began=began, ended=now, fault=fault))
            name, began = to, now

        try:
            yield turn
        except BaseException as error:
            fault = type(error).__name__
            raise
        finally:
            turn("")

    @property
    def milliseconds(self) -> int:
        """Since the beginning."""
        return round((time.monotonic() - self.began) * 1000)

    def stages_ms(self) -> dict[str, int]:
        """Stage to milliseconds; the stage that was cut short is among them."""
        return {span.name: span.milliseconds for span in self.spans}
