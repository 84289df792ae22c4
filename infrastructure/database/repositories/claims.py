"""Claims: which pending jobs a worker takes. The lowest turns are claimed first.

Every pending job that is due has a turn, a number on the sequence `queue_turn`. The lowest turns are claimed first, and
the sequence follows the highest turn that was claimed. A user's further jobs get turns two apart, from the sequence's
value on, so a newcomer's first job comes after at most one job of every user who waits. No counter a user is kept.
"""

from collections.abc import Sequence

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.jobs import JOB_VERSION, Claim
from infrastructure.database.engine import DriverConnection, fetch
from infrastructure.database.repositories.mapping import JOB_COLUMNS, job_from_row
from infrastructure.database.tables import WAITS_FOR_CLAIM

TURN_OF_NEXT = "(SELECT last_value + 1 FROM queue_turn)"
"""SQL of the turn of a job that is to be claimed next."""

TURN_OF_USER = f"""
    greatest({TURN_OF_NEXT},
        (SELECT max(waiting.turn) + 2 FROM jobs AS waiting
         WHERE waiting.user_id = {{user}} AND waiting.status = 'pending' AND waiting.turn IS NOT NULL))
"""  # nosec B608 # noqa: S608 - no input in it
"""SQL of the turn of a user's next job; `{user}` is the SQL of the user's id.

It depends on the user's pending jobs only, so that a user who cancels a backlog does not wait for it.
"""

# The CTEs are materialised: a claim that the planner folds into a join may lock more rows than it takes. A row that
# another claimer holds is skipped; one that it has just committed is no longer pending when it is locked. Two claimers
# may set the sequence one after the other, the second to a lower value: then the next turns are a little lower, and
# the next claim sets it right.
_CLAIM = """
    WITH picked AS MATERIALIZED (
        SELECT job_id, turn, worker_id{sharing_columns} FROM jobs
        WHERE {waits} {only_small} AND run_after <= statement_timestamp()
            AND version <= {version} AND NOT EXISTS (SELECT 1 FROM fleet_controls WHERE name = 'paused')
        ORDER BY turn, created_at, job_id LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ), advanced AS MATERIALIZED (
        SELECT setval('queue_turn', max(turn)) AS turn FROM picked
        HAVING max(turn) > (SELECT last_value FROM queue_turn)
    ){sharing}
    UPDATE jobs
    SET status = 'running', attempt = jobs.attempt + 1, lease_token = gen_random_uuid(), worker_id = :worker_id,
        lease_expires_at = statement_timestamp() + make_interval(secs => :lease), started_at = statement_timestamp(),
        finished_at = NULL, error_message = NULL, progress = 0, stage = NULL
    FROM {source} LEFT JOIN advanced ON true
    WHERE jobs.job_id = picked.job_id AND coalesce(advanced.turn, 0) >= 0
    RETURNING jobs.lease_token, {columns}, picked.worker_id AS previous_worker,
        CASE WHEN jobs.small THEN (SELECT data FROM job_uploads WHERE job_uploads.job_id = jobs.job_id) END AS upload
"""

# Small uploads of one user may share a child, so a claimed one brings the user's next ones along. Each keeps its own
# turn, and the sequence does not follow theirs: the user's later jobs wait the longer. The turns of a backlog are two
# apart, which bounds how many rows are read.
_SHARING = """, companions AS MATERIALIZED (
        SELECT next.job_id, next.worker_id
        FROM (SELECT user_id, max(turn) AS turn, count(*) AS taken FROM picked WHERE small GROUP BY user_id) AS first
        CROSS JOIN LATERAL (
            SELECT job_id, worker_id FROM jobs
            WHERE user_id = first.user_id AND status = 'pending' AND small
                AND turn > first.turn AND turn <= first.turn + 4 * :share
                AND run_after <= statement_timestamp() AND version <= {version}
            ORDER BY turn LIMIT greatest(:share - first.taken, 0)
            FOR UPDATE SKIP LOCKED
        ) AS next
    ), claimed AS (SELECT job_id, worker_id FROM picked UNION ALL SELECT job_id, worker_id FROM companions)
"""


def _statement(*, only_small: bool = False, sharing: bool = False) -> TextClause:
    return text(
        _CLAIM.format(
            waits=WAITS_FOR_CLAIM,
            only_small="AND small" if only_small else "",
            version=JOB_VERSION,
            columns=JOB_COLUMNS,
            sharing_columns=", user_id, small" if sharing else "",
            sharing=_SHARING.format(version=JOB_VERSION) if sharing else "",
            source="claimed AS picked" if sharing else "picked",
        )
    )


_CLAIM_ANY, _CLAIM_SMALL, _CLAIM_SHARING = _statement(), _statement(only_small=True), _statement(sharing=True)

# A retried job comes next. Jobs that another program has inserted, and those that are older than turns, get theirs as
# if they were submitted now, in their order, so that many of one user do not pass for one.
_ASSIGN_TURNS = text(f"""
    WITH due AS MATERIALIZED (
        SELECT job_id, user_id, attempt, created_at FROM jobs
        WHERE status = 'pending' AND turn IS NULL AND run_after <= statement_timestamp()
        ORDER BY run_after LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ), users AS MATERIALIZED (
        SELECT user_id, {TURN_OF_USER.format(user="new.user_id")} AS first
        FROM (SELECT DISTINCT user_id FROM due WHERE attempt = 0) AS new
    ), placed AS (
        SELECT job_id, CASE WHEN attempt > 0 THEN {TURN_OF_NEXT}
            ELSE users.first + 2 * (row_number() OVER (PARTITION BY due.user_id, attempt > 0
                ORDER BY created_at, job_id) - 1) END AS turn
        FROM due LEFT JOIN users USING (user_id)
    )
    UPDATE jobs SET turn = placed.turn FROM placed WHERE jobs.job_id = placed.job_id RETURNING jobs.job_id
""")  # nosec B608 # noqa: S608 - no input in it


class ClaimRepository:
    """Claims and turns, within one unit of work or on the driver's connection."""

    def __init__(self, connection: AsyncConnection | DriverConnection) -> None:
        self._connection = connection

    async def claim(
        self, limit: int, *, worker_id: str, lease_seconds: float, only_small: bool = False, share: int = 1
    ) -> Sequence[Claim]:
        """Take up to `limit` due jobs, the lowest turns first, for this worker; empty where none is due.

        With `share` more than 1, the user of a small upload among them gives up to `share` in all, beyond the limit.
        Nothing is claimed while the fleet is paused, and no job of a newer version than this program knows. Two
        claimers never get the same job, and neither waits for the other.
        """
        statement = _CLAIM_SMALL if only_small else _CLAIM_ANY
        values: dict[str, str | float] = {"limit": limit, "worker_id": worker_id, "lease": lease_seconds}
        if share > 1 and not only_small:
            statement, values = _CLAIM_SHARING, {**values, "share": share}
        claims = []
        for row in await fetch(self._connection, statement, values):
            columns = dict(row)
            token, upload = columns.pop("lease_token"), columns.pop("upload")
            previous = columns.pop("previous_worker")
            claims.append(Claim(job=job_from_row(columns), lease_token=token, upload=upload, previous_worker=previous))
        return sorted(claims, key=lambda claim: (claim.job.turn, claim.job.created_at, claim.job.job_id))

    async def assign_turns(self, limit: int) -> int:
        """Give due jobs that have no turn theirs, and return how many: retries, rows of other programs.

        Safe on many replicas at once.
        """
        return len(await fetch(self._connection, _ASSIGN_TURNS, {"limit": limit}))
