"""Parameters of several lists for operators."""

from typing import Annotated

from fastapi import Query

from worker.http.api.jobs.jobs import MAX_AGE_SECONDS

User = Annotated[str | None, Query(min_length=1, max_length=320, description="Only of this user: an email or an id.")]
Since = Annotated[
    int | None, Query(ge=0, le=MAX_AGE_SECONDS, description="Only what is younger than this many seconds.")
]
