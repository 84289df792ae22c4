"""JSON Schema from Python types: annotations, enumerations, dataclasses and named tuples."""

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from docs.generator.docstrings import field_meanings
from domain.text import JSON

Schema = dict[str, JSON]

_PLAIN: Mapping[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
    UUID: {"type": "string", "format": "uuid"},
}


def schema_of(annotation: Any) -> Schema:
    """Return the schema of a type. Raises TypeError for a type that has none here."""
    if annotation in _PLAIN:
        return dict(_PLAIN[annotation])
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return {"enum": [str(member) for member in annotation]}
    if isinstance(annotation, type) and is_dataclass(annotation):
        return dataclass_schema(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        (choice,) = [each for each in arguments if each is not types.NoneType]
        return nullable(schema_of(choice))
    if origin in (tuple, list, Sequence):
        return {"type": "array", "items": schema_of(arguments[0])}
    raise TypeError(f"no schema for {annotation}")


def dataclass_schema(cls: type, meanings: Mapping[str, str] | None = None) -> Schema:
    """Return the object of the fields of a dataclass or a named tuple.

    A field's description is its docstring, or its entry in `meanings`.
    """
    hints, described = get_type_hints(cls), {**field_meanings(cls), **(meanings or {})}
    names = [each.name for each in fields(cls)] if is_dataclass(cls) else list(hints)
    return object_schema({name: with_description(schema_of(hints[name]), described.get(name)) for name in names})


def object_schema(properties: Mapping[str, Schema], *, optional: Sequence[str] = ()) -> Schema:
    """Return an object with exactly these keys, all required but the optional ones."""
    required = [key for key in properties if key not in optional]
    return {"type": "object", "properties": dict(properties), "required": required, "additionalProperties": False}


def nullable(schema: Schema) -> Schema:
    """Return a schema that also allows null."""
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def with_description(schema: Schema, text: str | None) -> Schema:
    """Return the schema with a description."""
    return {**schema, "description": " ".join(text.split())} if text else schema
