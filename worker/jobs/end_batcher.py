"""Writer of the ends of attempts. Ends that arrive during a transaction share the next one."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from domain.errors import ServiceUnavailableError
from infrastructure.database.engine import Database
from infrastructure.database.repositories.attempt_ends import AttemptEnd, AttemptEndRepository, EndResult
from infrastructure.observability.log_throttle import OutageLog

MAX_ENDS = 100
"""Most ends in one transaction."""

MAX_CHARACTERS = 8 * 1024 * 1024
"""Size of the runs' documents in one transaction. A larger run has a transaction of its own."""


@dataclass(slots=True)
class _Waiting:
    end: AttemptEnd
    result: asyncio.Future[EndResult] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class EndBatcher:
    """Writes the ends of one worker's attempts in batches. Without a transaction under way, it writes at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[_Waiting] = deque()
        self._characters = 0
        """Size of the waiting ends."""
        self._writer: asyncio.Task[None] | None = None
        self._outage = OutageLog("job.ends_delayed")

    def takes(self, end: AttemptEnd) -> bool:
        """Return whether the end fits into the next transaction: its job need not hold its room until it is written."""
        return len(self._waiting) < MAX_ENDS and self._characters + end.size <= MAX_CHARACTERS

    def takes_small(self) -> bool:
        """Return whether the end of a small job, which is not known yet, fits into the next transaction."""
        return len(self._waiting) < MAX_ENDS and self._characters < MAX_CHARACTERS // 2

    async def write(self, end: AttemptEnd) -> EndResult:
        """Write the end and return its result.

        Raises ServiceUnavailableError where the database is away; whether the end was written is then unknown, and
        writing it again is safe. Cancelling the caller does not take the end out of a transaction that has begun.
        """
        waiting = _Waiting(end)
        self._waiting.append(waiting)
        self._characters += end.size
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        return await waiting.result

    async def _write_all(self) -> None:
        while self._waiting:
            batch = self._next_batch()
            if batch:
                await self._write_batch(batch)

    async def _write_batch(self, batch: Sequence[_Waiting]) -> None:
        try:
            await self._write(batch)
        except ServiceUnavailableError as error:
            self._outage.log_begin(error, jobs=len(batch))
            _fail(batch, error)
        except Exception as error:  # noqa: BLE001 - each waiter gets it
            if len(batch) > 1:
                await self._write_singly(batch)
            else:
                _fail(batch, error)
        else:
            self._outage.log_end()

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and len(batch) < MAX_ENDS:
            first = self._waiting[0]
            if first.result.cancelled():
                self._take()
                continue
            if batch and size + first.end.size > MAX_CHARACTERS:
                break
            size += first.end.size
            batch.append(self._take())
        return batch

    def _take(self) -> _Waiting:
        first = self._waiting.popleft()
        self._characters -= first.end.size
        return first

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        ends = [waiting.end for waiting in batch]
        of_evaluations = any(end.evaluation_id is not None for end in ends)
        transaction = self._database.unit_of_work() if of_evaluations else self._database.driver(transaction=True)
        async with transaction as work:
            results = await AttemptEndRepository(work).end(ends)
        for waiting in batch:
            if not waiting.result.done():
                waiting.result.set_result(results[waiting.end.claim.lease_token])

    async def _write_singly(self, batch: Sequence[_Waiting]) -> None:
        """Write the ends one by one, because PostgreSQL refused one of the batch."""
        for waiting in batch:
            try:
                await self._write([waiting])
            except Exception as error:  # noqa: BLE001 - its waiter gets it
                _fail([waiting], error)


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.result.done():
            waiting.result.set_exception(error)
