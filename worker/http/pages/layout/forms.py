"""Fields of the forms that pages send."""

from collections.abc import Collection, Mapping

from starlette.datastructures import UploadFile
from starlette.requests import Request

from worker.http.api.request_bodies import media_type, unsupported_type
from worker.http.options import FORM_BYTES
from worker.http.problems import MALFORMED, ProblemError

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
