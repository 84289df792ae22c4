"""Audit of what a fault cost: a trigger in the test's database records every change of a job's status."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass
from typing import Any

import asyncpg

from domain.jobs import LEASE_SECONDS

PROPERTY = "fault"
"""Name of the property with which a test's report carries rows of the table, also between pytest-xdist's processes."""

CREATE_AUDIT = (
    """CREATE TABLE job_transitions (
        number bigserial PRIMARY KEY, job_id text, at timestamptz DEFAULT clock_timestamp(), was text, becomes text,
        worker_id text, last_renewal timestamptz
    )""",
    "CREATE TABLE worker_kills (worker_id text PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())",
    f"""CREATE FUNCTION record_transition() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO job_transitions (job_id, becomes) VALUES (NEW.job_id, NEW.status);
        ELSIF OLD.status IS DISTINCT FROM NEW.status THEN
            INSERT INTO job_transitions (job_id, was, becomes, worker_id, last_renewal)
            VALUES (NEW.job_id, OLD.status, NEW.status, OLD.worker_id,
                CASE WHEN OLD.status = 'running' AND NEW.attempt_errors -> -1 ->> 'kind' = 'worker lost'
                    AND jsonb_array_length(NEW.attempt_errors) > jsonb_array_length(OLD.attempt_errors)
                THEN OLD.lease_expires_at - interval '{LEASE_SECONDS} seconds' END);
        END IF;
        RETURN NULL;
    END $$""",  # noqa: S608 - no input in it
    "CREATE TRIGGER record_transition AFTER INSERT OR UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION record_transition()",
)
"""`last_renewal` is set where the worker was lost: the time when the lease was last renewed."""

SUM_UP = """
    WITH ended AS (
        SELECT job_id, count(*) FILTER (WHERE becomes IN ('completed', 'failed')) AS ends,
            count(*) FILTER (WHERE was = 'failed') AS again
        FROM job_transitions GROUP BY job_id
    ), rescued AS (
        SELECT max(next.at - coalesce(killed.at, lost.last_renewal)) AS slowest
        FROM job_transitions lost LEFT JOIN worker_kills killed USING (worker_id) CROSS JOIN LATERAL (
            SELECT at FROM job_transitions WHERE job_id = lost.job_id AND number > lost.number ORDER BY number LIMIT 1
        ) next
        WHERE lost.last_renewal IS NOT NULL AND lost.becomes = 'pending'
    )
    SELECT count(*) AS jobs, count(*) FILTER (WHERE ends = again) AS lost,
        count(*) FILTER (WHERE ends > again + 1) AS doubled,
        (SELECT extract(epoch FROM slowest)::float8 FROM rescued) AS slowest
    FROM ended
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one fault: jobs submitted, jobs that never ended, jobs that ended twice, and the slowest rescue.

    A rescue is measured from the worker's SIGKILL, if the test has recorded it, and otherwise from the last renewal of
    its lease, until another worker runs the job, in seconds.
    """

    fault: str
    jobs: int
    lost: int
    doubled: int
    slowest_rescue: float | None

    def add(self, other: "Cost") -> "Cost":
        """Return the sum of both, with the slower rescue."""
        rescues = [one for one in (self.slowest_rescue, other.slowest_rescue) if one is not None]
        return Cost(
            self.fault,
            self.jobs + other.jobs,
            self.lost + other.lost,
            self.doubled + other.doubled,
            max(rescues, default=None),
        )


@asynccontextmanager
async def audited(database_url: str, fault: str, record_property: Callable[[str, object], None]) -> AsyncIterator[None]:
    """Record the transitions of a database's jobs; fail if a job was lost or ended twice."""
    for statement in CREATE_AUDIT:
        await _fetch(database_url, statement)
    yield
    (row,) = await _fetch(database_url, SUM_UP)
    cost = Cost(fault, row["jobs"], row["lost"], row["doubled"], row["slowest"])
    record_property(PROPERTY, astuple(cost))
    assert cost.jobs
    assert (cost.lost, cost.doubled) == (0, 0), cost


async def record_kill(database_url: str, worker_id: str) -> None:
    """Note that the worker is killed now."""
    await _fetch(database_url, "INSERT INTO worker_kills (worker_id) VALUES ($1)", worker_id)


async def _fetch(database_url: str, query: str, *values: Any) -> list[Any]:
    connection = await asyncpg.connect(database_url)
    try:
        return list(await connection.fetch(query, *values))
    finally:
        await connection.close()


def costs(reports: Iterable[Any]) -> list[Cost]:
    """Collect the costs from test reports, and add up those of the same fault."""
    found: dict[str, Cost] = {}
    for one in (Cost(*value) for report in reports for name, value in report.user_properties if name == PROPERTY):
        found[one.fault] = one.add(found[one.fault]) if one.fault in found else one
    return sorted(found.values(), key=lambda cost: cost.fault.casefold())


def table(rows: Sequence[Cost]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = ["| fault | jobs | lost | doubled | slowest rescue |", "|---|---|---|---|---|"]
    for row in rows:
        rescue = "" if row.slowest_rescue is None else f"{row.slowest_rescue:.1f} s"
        lines.append(f"| {row.fault} | {row.jobs} | {row.lost} | {row.doubled} | {rescue} |")
    return lines
