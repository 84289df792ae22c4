"""Server-sent events, as the HTML standard describes their stream."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from vibe8.errors import InvalidAnswerError

MAX_EVENT_BYTES = 1024 * 1024
"""Bytes of one event at most; an event of the API has less than 3,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event: its name, its data, and the last id that the stream has given."""

    name: str
    data: str
    last_id: str


@dataclass(slots=True)
class EventDecoder:
    """Makes events of the pieces of a stream, wherever these are cut."""

    last_id: str = ""
    retry_seconds: float | None = None
    _buffer: bytearray = field(default_factory=bytearray)
    _name: str = ""
    _data: list[str] = field(default_factory=list)
    _size: int = 0
    _after_return: bool = False

    def feed(self, piece: bytes) -> list[Event]:
        """Return the events that are complete with this piece. Raises InvalidAnswerError for one that is too large."""
        if self._after_return and piece.startswith(b"\n"):
            piece = piece[1:]
        self._buffer += piece
        self._after_return = self._buffer.endswith(b"\r")  # its line feed may be in the next piece
        *lines, rest = bytes(self._buffer).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._buffer = bytearray(rest)
        found = [event for line in lines for event in self._line(line)]
        if self._size + len(self._buffer) > MAX_EVENT_BYTES:
            raise InvalidAnswerError(f"an event of the stream has more than {MAX_EVENT_BYTES} bytes")
        return found

    def _line(self, line: bytes) -> Iterator[Event]:
        self._size += len(line)
        if not line:
            yield from self._end_of_event()
        elif not line.startswith(b":"):
            name, _, value = line.decode("utf-8", "replace").partition(":")
            self._field(name, value.removeprefix(" "))

    def _field(self, name: str, value: str) -> None:
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "retry" and value.isascii() and value.isdigit() and len(value) < 8:
            self.retry_seconds = int(value) / 1000

    def _end_of_event(self) -> Iterator[Event]:
        if self._data:
            yield Event(name=self._name or "message", data="\n".join(self._data), last_id=self.last_id)
        self._name, self._data, self._size = "", [], 0
