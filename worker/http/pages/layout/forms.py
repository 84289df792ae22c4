"""Fields of the forms that pages send, and what a page says of a form that is refused."""

from collections.abc import Collection, Mapping
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import IllegalTransitionError, InvalidInputError, LimitExceededError, PermissionDeniedError
from domain.text import one_line, printable
from worker.http.api.request_bodies import media_type, unsupported_type
from worker.http.options import FORM_BYTES
from worker.http.pages.layout.rendering import page
from worker.http.problems import MALFORMED, ProblemError, as_problem

REFUSALS = (InvalidInputError, LimitExceededError, PermissionDeniedError, IllegalTransitionError)
"""Errors that a page shows above its form: the visitor can correct them."""

_SECRETS = frozenset({"token", "password"})
MOST_DIGITS = 10
FORM_TYPE = "application/x-www-form-urlencoded"


async def read_fields(request: Request, names: Collection[str]) -> Mapping[str, str]:
    """Return the fields of a form without a file. Raises ProblemError for another type, or a field that is not ours."""
    if media_type(request) != FORM_TYPE:
        raise unsupported_type(FORM_TYPE)
    async with request.form(max_files=0, max_fields=len(names) + 1, max_part_size=FORM_BYTES) as form:
        found = form.multi_items()
    fields = {name: value for name, value in found if not isinstance(value, UploadFile)}
    if len(fields) != len(found) or not fields.keys() <= set(names):
        raise ProblemError(MALFORMED, "the form has a field that is unknown, or one of them twice")
    if any("\0" in value for value in fields.values()):
        raise ProblemError(MALFORMED, "a field of the form has a NUL character; leave it out")
    return fields


def form_page(request: Request, template: str, refused: Exception | None, **values: Any) -> Response:
    """Return a page with a form; where that was `refused` by an error of REFUSALS, with its line and its status."""
    if refused is None:
        return page(request, template, error=None, **values)
    problem = as_problem(refused)
    status = 422 if problem is None else problem.problem.status
    return page(request, template, status, error=one_line(str(refused), 500), **values)


def shown_again(fields: Mapping[str, str]) -> dict[str, str]:
    """Return what a form is filled with after it was refused: printable texts, and no secret."""
    return {name: printable(text.replace("\r\n", "\n")) for name, text in fields.items() if name not in _SECRETS}


def number_field(text: str, name: str, most: int) -> int | None:
    """Return the number of a field, None for an empty one. Raises InvalidInputError unless it is 1 to `most`."""
    digits = text.strip()
    if not digits:
        return None
    if not digits.isdecimal() or not digits.isascii() or len(digits) > MOST_DIGITS or not 1 <= int(digits) <= most:
        raise InvalidInputError(f"the number of {name} must be 1 to {most}, or empty")
    return int(digits)
