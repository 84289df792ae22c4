"""JSON values as frozen dataclasses, by their type hints. Unknown fields are ignored: a newer service may send more."""

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from vibe8.errors import InvalidAnswerError

T = TypeVar("T")
_JSON_TYPES: dict[Any, tuple[type, ...]] = {str: (str,), int: (int,), float: (int, float), bool: (bool,)}


def decode(kind: type[T], value: object, place: str = "the answer") -> T:
    """Return the value as this type: a dataclass, a sequence or mapping of such, a time, a scalar, or None.

    `place` is what an error names. Raises InvalidAnswerError where a required field is missing or has another type.
    """
    decoded: T = _decode(kind, value, place)
    return decoded


def _decode(kind: Any, value: Any, place: str) -> Any:
    if kind in {Any, object}:
        return value
    if kind in _JSON_TYPES:
        return _scalar(kind, value, place)
    if kind is datetime:
        return _moment(value, place)
    if is_dataclass(kind):
        return _record(kind, value, place)
    return _composite(kind, value, place)


def _composite(kind: Any, value: Any, place: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        if value is None and types.NoneType in arguments:
            return None
        (only,) = (argument for argument in arguments if argument is not types.NoneType)
        return _decode(only, value, place)
    if origin is Sequence:
        _check(value, list, "a list", place)
        return tuple(_decode(arguments[0], item, f"{place}[{index}]") for index, item in enumerate(value))
    if origin is Mapping:
        _check(value, dict, "an object", place)
        return {key: _decode(arguments[1], item, f"{place}.{key}") for key, item in value.items()}
    raise TypeError(f"{kind} is no type of a field")


def _record(kind: Any, value: Any, place: str) -> Any:
    _check(value, dict, "an object", place)
    hints, found = _hints(kind), {}
    for each in fields(kind):
        if each.name in value:
            found[each.name] = _decode(hints[each.name], value[each.name], f"{place}.{each.name}")
        elif not _has_default(each):
            raise InvalidAnswerError(f"{place} has no field {each.name}")
    return kind(**found)


def _has_default(each: "Field[Any]") -> bool:
    return each.default is not MISSING or each.default_factory is not MISSING


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _scalar(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, _JSON_TYPES[kind]) or (isinstance(value, bool) and kind is not bool):
        raise InvalidAnswerError(f"{place} is no {kind.__name__}")
    return kind(value)


def _moment(value: Any, place: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise InvalidAnswerError(f"{place} is no time") from None


def _check(value: object, kind: type, name: str, place: str) -> None:
    if not isinstance(value, kind):
        raise InvalidAnswerError(f"{place} is not {name}")
