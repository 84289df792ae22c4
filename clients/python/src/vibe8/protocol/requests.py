"""A request as data, what is read of its answer, and pages of lists."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Generic, Self, TypeVar
from urllib.parse import quote

import httpx

from vibe8.errors import InvalidAnswerError
from vibe8.models.decoding import decode

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
QueryValue = str | int | Sequence[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A successful answer, whole."""

    status: int
    headers: httpx.Headers
    body: bytes

    def json(self) -> Any:
        """Return the body's JSON. Raises InvalidAnswerError."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise InvalidAnswerError(
                "the answer is no JSON document; is this the address of a vibe8 service?"
            ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A file and texts, sent as `multipart/form-data`. The file is read from its beginning while it is sent."""

    filename: str
    file: BinaryIO
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[T_co]):
    """A request of the API. `path` is below `/api/v1`; `parse` makes the caller's value of a successful answer.

    `repeatable` says that sending it twice does what sending it once does: it may be sent again after a failure.
    """

    method: str
    path: str
    parse: Callable[[Answer], T_co]
    query: Mapping[str, QueryValue] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: object = None
    form: Form | None = None
    content: bytes | None = None
    repeatable: bool = False

    def with_query(self, **more: QueryValue) -> Self:
        """Return the request with other parameters."""
        return replace(self, query={**self.query, **more})

    def parameters(self) -> httpx.QueryParams:
        """Return the parameters that are given, a list as several of one name."""
        given: list[tuple[str, str | int | float | bool | None]] = []
        for name, value in self.query.items():
            if isinstance(value, str | int):
                given.append((name, value))
            elif value is not None:
                given += [(name, each) for each in value]
        return httpx.QueryParams(given)


def get(path: str, parse: Callable[[Answer], T], /, **query: QueryValue) -> Request[T]:
    """Return a request that only reads."""
    return Request(method="GET", path=path, parse=parse, query=query, repeatable=True)


def segment(value: str) -> str:
    """Return a text as one segment of a path. Raises ValueError for an empty one, which would name another path."""
    if not value or value in {".", ".."}:
        raise ValueError(f"{value!r} is no id")
    return quote(value, safe="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T_co]):
    """A page of a list. `next` is the `cursor` of the following page; None on the last one."""

    items: Sequence[T_co]
    next: str | None


def document(kind: type[T]) -> Callable[[Answer], T]:
    """Return a parser of one JSON document."""
    return lambda answer: decode(kind, answer.json())


def listing(name: str, kind: type[T]) -> Callable[[Answer], Sequence[T]]:
    """Return a parser of a document whose field `name` is a list."""
    return lambda answer: _items(answer.json(), name, kind)


def page(name: str, kind: type[T]) -> Callable[[Answer], Page[T]]:
    """Return a parser of a page whose items are in the field `name`."""

    def parse(answer: Answer) -> Page[T]:
        found = answer.json()
        items = _items(found, name, kind)
        following = found.get("next")
        return Page(items=items, next=None if following is None else str(following))

    return parse


def member(name: str, kind: Any) -> Callable[[Answer], Any]:
    """Return a parser of one field of a document."""

    def parse(answer: Answer) -> Any:
        found = answer.json()
        if not isinstance(found, dict) or name not in found:
            raise InvalidAnswerError(f"the answer has no field {name}")
        return decode(kind, found[name], name)

    return parse


def mapping(answer: Answer) -> Mapping[str, Any]:
    """Return the document as it is, which must be an object. Raises InvalidAnswerError."""
    found = answer.json()
    if not isinstance(found, dict):
        raise InvalidAnswerError("the answer is not an object")
    return found


def nothing(answer: Answer) -> None:
    """Ignore the body, which is empty."""
    del answer


def content(answer: Answer) -> bytes:
    """Return the body as it is."""
    return answer.body


def _items(found: object, name: str, kind: type[T]) -> tuple[T, ...]:
    items = found.get(name) if isinstance(found, dict) else None
    if not isinstance(items, list):
        raise InvalidAnswerError(f"the answer has no list {name}")
    return tuple(decode(kind, item, f"{name}[{index}]") for index, item in enumerate(items))
