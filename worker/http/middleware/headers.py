"""Headers of an ASGI request, read without a framework."""

from collections.abc import Sequence

from starlette.types import Scope


def header_values(scope: Scope, name: str) -> list[str]:
    """Return all values of a header, in the order in which they came; `name` is in lower case."""
    wanted = name.encode("latin-1")
    return [value.decode("latin-1") for key, value in scope["headers"] if key == wanted]


def only_header(scope: Scope, name: str) -> str | None:
    """Return the value of a header that occurs once; None where it is absent or occurs several times."""
    values = header_values(scope, name)
    return values[0] if len(values) == 1 else None


def spellings(scope: Scope, name: str) -> Sequence[str]:
    """Return the names of the request's headers that some programs take for `name`: with `_` in place of `-`."""
    return [
        found
        for key, _ in scope["headers"]
        if (found := key.decode("latin-1").lower()).replace("_", "-") == name.replace("_", "-")
    ]
