"""Bodies of requests: JSON objects and forms, bounded, without NUL, and with no field that is not known."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from domain.text import JSON
from infrastructure.json_codec import dumps, loads_untrusted
from worker.http.middleware.headers import header_values
from worker.http.options import FORM_BYTES
from worker.http.problems import MALFORMED, MEDIA_TYPE_UNSUPPORTED, ProblemError

JSON_TYPE = "application/json"
FORM_TYPE = "multipart/form-data"
_UTF_8 = re.compile(r"""; *charset="?utf-8"? *(;|\Z)""")
MAX_VALUES = 100_000
"""Values of one JSON document."""

Model = TypeVar("Model", bound="Body")


def without_nul(value: JSON) -> JSON:
    """Return the value. Raises ValueError where a text in it has a NUL, which PostgreSQL cannot store."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, Mapping):
            pending += [*each.keys(), *each.values()]
        elif isinstance(each, list):
            pending += each
        elif isinstance(each, str) and "\0" in each:
            raise ValueError("a text has a NUL character; leave it out")
    return value


def _in_utc(moment: datetime) -> datetime:
    """Return the time in UTC. Raises ValueError for one that UTC's calendar lacks."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is outside of the years 1 to 9999 in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Text = Annotated[str, Field(max_length=2_000), AfterValidator(without_nul)]
Document = Annotated[dict[str, Any], AfterValidator(without_nul)]


class Body(BaseModel):
    """A JSON object that has these fields and no others, of exactly these types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


def media_type(request: Request) -> str:
    """Return the type of the body, without its parameters and in lower case; empty where none or several are given."""
    values = header_values(request.scope, "content-type")
    return values[0].partition(";")[0].strip().lower() if len(values) == 1 else ""


def unsupported_type(*accepted: str) -> ProblemError:
    """Return the error for a body of another type."""
    named = " or ".join(accepted)
    return ProblemError(MEDIA_TYPE_UNSUPPORTED, f"the body must be {named}", {"Accept": ", ".join(accepted)})


async def read_json(request: Request) -> JSON:
    """Return the body's JSON. Raises ProblemError for another type of content, and for what is no JSON."""
    if media_type(request) != JSON_TYPE:
        raise unsupported_type(JSON_TYPE)
    try:
        return loads_untrusted(await request.body(), MAX_VALUES)
    except (ValueError, RecursionError):
        raise ProblemError(MALFORMED, f"the body is no JSON document of at most {MAX_VALUES} values") from None


def parse(model: type[Model], document: JSON) -> Model:
    """Return the document as this model. Raises RequestValidationError that names the invalid fields."""
    try:
        text = dumps(document)
    except RecursionError:
        raise ProblemError(MALFORMED, "the body is nested too deeply") from None
    try:
        return model.model_validate_json(text)  # strict, and yet JSON has no enumerations and times
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in found]) from None


@dataclass(frozen=True, slots=True)
class JsonBody(Generic[Model]):
    """A dependency that returns the request's body as a model. The API's description has it from here."""

    model: type[Model]

    async def __call__(self, request: Request) -> Model:
        """See the class."""
        return parse(self.model, await read_json(request))


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadForm:
    """A form with a file, its field `file`, and the texts of its other fields."""

    filename: str
    content: bytes
    texts: Mapping[str, str]


async def read_form(request: Request, fields: frozenset[str]) -> UploadForm:
    """Return the form, whose other fields may be these.

    Raises RequestValidationError for a field that is not known or occurs twice, and for a form without a file. While it
    arrives, the file is in memory up to 1 MB, and above that in a temporary file.
    """
    _require_utf_8(request)
    async with request.form(max_files=1, max_fields=len(fields), max_part_size=FORM_BYTES) as form:
        if problems := _problems_of(form, fields):
            raise RequestValidationError(
                [{"loc": ("body", name), "msg": message, "type": "form"} for name, message in problems]
            )
        file = form["file"]
        assert isinstance(file, UploadFile)  # nosec B101 # noqa: S101 - `_problems_of` looked
        texts = {name: value for name, value in form.items() if isinstance(value, str)}
        return UploadForm(filename=file.filename or "", content=await file.read(), texts=texts)


def _require_utf_8(request: Request) -> None:
    """Raise ProblemError for a form that names another encoding.

    The parser would look it up among all codecs of Python, of which some fail and some take minutes.
    """
    named = "".join(header_values(request.scope, "content-type")).lower()
    if "charset" in named and (named.count("charset") > 1 or not _UTF_8.search(named)):
        raise ProblemError(MEDIA_TYPE_UNSUPPORTED, "a form must be in UTF-8; leave charset out of its Content-Type")


def _problems_of(form: FormData, fields: frozenset[str]) -> list[tuple[str, str]]:
    names = [name for name, _ in form.multi_items()]
    problems = [(name, "no such field") for name in names if name not in fields | {"file"}]
    problems += [(name, "given more than once") for name in sorted(set(names)) if names.count(name) > 1]
    for name, value in form.multi_items():
        if isinstance(value, UploadFile) != (name == "file"):
            problems.append((name, "must be a file with its name" if name == "file" else "must be a text"))
        elif "\0" in (value if isinstance(value, str) else value.filename or ""):
            problems.append((name, "a text has a NUL character; leave it out"))
    if "file" not in names:
        problems.append(("file", "missing: the .py or .zip file"))
    return problems
