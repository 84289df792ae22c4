"""What a fault cost, as the database saw it: every change of every job's state is written down by a trigger."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass
from typing import Any

import asyncpg

from domain.jobs import LEASE_SECONDS

PROPERTY = "fault"
"""Under this name a test's report carries the rows of the table, also from one process of the suite to another."""

KEEP = (
    """CREATE TABLE ledger (
        number bigserial PRIMARY KEY, job_id text, at timestamptz DEFAULT clock_timestamp(), was text, becomes text,
        last_sign timestamptz
    )""",
    f"""CREATE FUNCTION keep_ledger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO ledger (job_id, becomes) VALUES (NEW.job_id, NEW.status);
        ELSIF OLD.status IS DISTINCT FROM NEW.status THEN
            INSERT INTO ledger (job_id, was, becomes, last_sign) VALUES (NEW.job_id, OLD.status, NEW.status,
                CASE WHEN OLD.lease_expires_at < clock_timestamp()
                THEN OLD.lease_expires_at - interval '{LEASE_SECONDS} seconds' END);
        END IF;
        RETURN NULL;
    END $$""",  # noqa: S608 - no input in it
    "CREATE TRIGGER keep_ledger AFTER INSERT OR UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION keep_ledger()",
)
"""The statements that make a database keep its ledger."""


SUM_UP = """
    WITH ended AS (
        SELECT job_id, count(*) FILTER (WHERE becomes IN ('completed', 'failed')) AS ends,
            count(*) FILTER (WHERE was = 'failed') AS again
        FROM ledger GROUP BY job_id
    ), rescued AS (
        SELECT max(next.at - lost.last_sign) AS slowest
        FROM ledger lost CROSS JOIN LATERAL (
            SELECT at FROM ledger WHERE job_id = lost.job_id AND number > lost.number ORDER BY number LIMIT 1
        ) next
        WHERE lost.last_sign IS NOT NULL AND lost.becomes = 'pending'
    )
    SELECT count(*) AS jobs, count(*) FILTER (WHERE ends = again) AS lost,
        count(*) FILTER (WHERE ends > again + 1) AS doubled,
        (SELECT extract(epoch FROM slowest)::float8 FROM rescued) AS slowest
    FROM ended
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one fault: jobs submitted, jobs that never ended, jobs that ended twice, and the slowest rescue.

    A rescue is counted from the lost worker's last sign of life until another runs the job, in seconds.
    """

    fault: str
    jobs: int
    lost: int
    doubled: int
    slowest_rescue: float | None

    def and_also(self, other: "Cost") -> "Cost":
        rescues = [one for one in (self.slowest_rescue, other.slowest_rescue) if one is not None]
        return Cost(
            self.fault,
            self.jobs + other.jobs,
            self.lost + other.lost,
            self.doubled + other.doubled,
            max(rescues, default=None),
        )


@asynccontextmanager
async def kept(database_url: str, fault: str, tell: Callable[[str, object], None]) -> AsyncIterator[None]:
    """Keep the ledger of a database meanwhile; nothing may be lost or doubled. `tell` is pytest's `record_property`."""
    for statement in KEEP:
        await _fetch(database_url, statement)
    yield
    (row,) = await _fetch(database_url, SUM_UP)
    cost = Cost(fault, row["jobs"], row["lost"], row["doubled"], row["slowest"])
    tell(PROPERTY, astuple(cost))
    assert cost.jobs
    assert (cost.lost, cost.doubled) == (0, 0), cost


async def _fetch(database_url: str, query: str) -> list[Any]:
    connection = await asyncpg.connect(database_url)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


def costs(reports: Iterable[Any]) -> list[Cost]:
    """What the tests' reports carry, added up where several tests make the same fault."""
    found: dict[str, Cost] = {}
    for one in (Cost(*value) for report in reports for name, value in report.user_properties if name == PROPERTY):
        found[one.fault] = one.and_also(found[one.fault]) if one.fault in found else one
    return sorted(found.values(), key=lambda cost: cost.fault.casefold())


def table(rows: Sequence[Cost]) -> list[str]:
    """The lines of a Markdown table."""
    lines = ["| fault | jobs | lost | doubled | slowest rescue |", "|---|---|---|---|---|"]
    for row in rows:
        rescue = "" if row.slowest_rescue is None else f"{row.slowest_rescue:.1f} s"
        lines.append(f"| {row.fault} | {row.jobs} | {row.lost} | {row.doubled} | {rescue} |")
    return lines
