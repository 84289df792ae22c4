"""Where the API is, ids in its paths, and the parameters of pages."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query

from domain.errors import NotFoundError
from domain.text import one_line

API_PREFIX = "/api/v1"
MAX_PAGE = 100
MAX_CURSOR = 400

JobId = Annotated[str, Path(max_length=200, description="The id of a job.")]
RunId = Annotated[str, Path(max_length=200, description="The id of a run.")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="The most items of the page.")]
Cursor = Annotated[str | None, Query(max_length=MAX_CURSOR, description="`next` of the page before.")]


def parse_id(text: str) -> UUID:
    """Return the id. Raises NotFoundError for a text that is none: nothing has it."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError(f"there is nothing with the id {one_line(text, 80)}") from None
