"""Descriptors that make a call of a group blocking or asynchronous, by the group's mode, with types for both."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from inspect import Signature, signature
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, get_args, get_origin, overload

from vibe8.protocol.modes import Asynchronous, Blocking
from vibe8.protocol.requests import Request
from vibe8.protocol.sender import Sender

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Mode = TypeVar("Mode", bound=Blocking | Asynchronous)


class Group(Generic[Mode]):
    """Calls about one subject. Those of a `Group[Blocking]` return values, of a `Group[Asynchronous]` awaitables."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode

    @property
    def sender(self) -> Sender:
        """What sends the requests."""
        return self.mode.sender


class CallHelp:
    """What `help` shows of a call: name, docstring and signature of the function that describes it."""

    def __init__(self, function: Callable[..., Any], text: str | None = None) -> None:
        described = signature(function)
        _, *parameters = described.parameters.values()  # without `self`
        result = described.return_annotation
        if get_origin(result) is Request:
            (result,) = get_args(result)
        self.name, self.text = function.__name__, text or function.__doc__
        self.signature = Signature(parameters, return_annotation=Signature.empty if text else result)

    def given_to(self, bound: Callable[P, Any]) -> Callable[P, Any]:
        """Return the bound call, which has this help from now on."""
        bound.__name__, bound.__doc__ = self.name, self.text
        bound.__signature__ = self.signature  # type: ignore[attr-defined]
        return bound


class Call(Generic[P, T_co]):
    """A call of one or several requests, described by a coroutine function."""

    def __init__(self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, T_co]]) -> None:
        self.function = function
        self.help = CallHelp(function)

    def __set_name__(self, owner: type, name: str) -> None:
        """Take the name that the group gives."""
        self.help.name = name

    @overload
    def __get__(self, group: Group[Blocking], owner: type | None = None) -> Callable[P, T_co]: ...

    @overload
    def __get__(
        self, group: Group[Asynchronous], owner: type | None = None
    ) -> Callable[P, Coroutine[Any, Any, T_co]]: ...

    def __get__(self, group: Group[Any], owner: type | None = None) -> Callable[P, Any]:
        """Return the call in the group's mode."""

        def bound(*arguments: P.args, **named: P.kwargs) -> Any:
            return group.mode.run(self.function(group, *arguments, **named))

        return self.help.given_to(bound)


class SingleCall(Call[P, T_co]):
    """A call of one request, described by the function that makes the request."""

    def __init__(self, build: Callable[Concatenate[Any, P], Request[T_co]]) -> None:
        async def send(group: Any, /, *arguments: P.args, **named: P.kwargs) -> T_co:
            return await _sender_of(group).send(build(group, *arguments, **named))

        super().__init__(send)
        self.build, self.help = build, CallHelp(build)


class StreamCall(Generic[P, T_co]):
    """A call that yields items, described by an asynchronous generator function."""

    def __init__(self, function: Callable[Concatenate[Any, P], AsyncGenerator[T_co, None]]) -> None:
        self.function = function
        self.help = CallHelp(function)

    def __set_name__(self, owner: type, name: str) -> None:
        """Take the name that the group gives."""
        self.help.name = name

    @overload
    def __get__(self, group: Group[Blocking], owner: type | None = None) -> Callable[P, Iterator[T_co]]: ...

    @overload
    def __get__(
        self, group: Group[Asynchronous], owner: type | None = None
    ) -> Callable[P, AsyncGenerator[T_co, None]]: ...

    def __get__(self, group: Group[Any], owner: type | None = None) -> Callable[P, Any]:
        """Return the call in the group's mode."""

        def bound(*arguments: P.args, **named: P.kwargs) -> Any:
            return group.mode.iterate(self.function(group, *arguments, **named))

        return self.help.given_to(bound)


class Paged(Protocol[T_co]):
    """A page: its items, and what stands for the following page."""

    @property
    def items(self) -> Sequence[T_co]:
        """The items of the page."""
        ...

    @property
    def next(self) -> str | int | None:
        """The place of the following page; None on the last one."""
        ...


def call(build: Callable[Concatenate[Any, P], Request[T]]) -> SingleCall[P, T]:
    """Make a call of the function that makes its request."""
    return SingleCall(build)


def steps(function: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> Call[P, T]:
    """Make a call of a coroutine function that sends its requests itself."""
    return Call(function)


def stream(function: Callable[Concatenate[Any, P], AsyncGenerator[T, None]]) -> StreamCall[P, T]:
    """Make a call that yields items of an asynchronous generator function."""
    return StreamCall(function)


def every(pages: SingleCall[P, Paged[T]], cursor: str = "cursor") -> StreamCall[P, T]:
    """Make a call that yields the items of all pages, from the call of one page; `cursor` names its parameter."""

    async def items(group: Any, /, *arguments: P.args, **named: P.kwargs) -> AsyncGenerator[T, None]:
        request = pages.build(group, *arguments, **named)
        while True:
            found = await _sender_of(group).send(request)
            for item in found.items:
                yield item
            if found.next is None:
                return
            request = request.with_query(**{cursor: found.next})

    made = StreamCall(items)
    made.help = CallHelp(pages.build, f"Yield the items of all pages from this one on: see `{pages.help.name}`.")
    return made


def _sender_of(group: Any) -> Sender:
    sender: Sender = group.sender
    return sender
