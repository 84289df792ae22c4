"""Jobs of all users whose ids begin with a text, for operators."""

import re

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.jobs import Job
from domain.text import printable
from infrastructure.database.repositories.mapping import JOB_COLUMNS, job_from_row

_HEXADECIMAL = re.compile("[0-9a-f]{1,31}")

# `end` bounds the range in the primary key's index; `left` decides, since a collation may order dashes differently.
_SEARCH = text(f"""
    SELECT users.email, {JOB_COLUMNS} FROM jobs JOIN users ON users.id = jobs.user_id
    WHERE job_id >= :prefix AND job_id <= :end AND left(job_id, length(:prefix)) = :prefix AND job_id > :after
    ORDER BY job_id LIMIT :limit
""")  # nosec B608 # noqa: S608 - no input in it


class JobSearch:
    """The table `jobs` for operators who look for one, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def by_id(self, prefix: str, *, limit: int, after: str = "") -> list[tuple[str, Job]]:
        """Return one page of the jobs whose ids begin with this, by id, each with its owner's email.

        Of a text that begins no id as `submit` makes them, the job with exactly this id. `after` is the id of the last
        job of the page before.
        """
        prefix = printable(prefix)
        end = f"{prefix}g" if _HEXADECIMAL.fullmatch(prefix) else prefix
        values = {"prefix": prefix, "end": end, "after": printable(after), "limit": limit}
        rows = (await self._connection.execute(_SEARCH, values)).mappings()
        return [(row["email"], job_from_row({name: row[name] for name in row if name != "email"})) for row in rows]
