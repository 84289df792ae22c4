"""A model of the jobs in the database, for the test of the state machine."""

import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.jobs import MAX_ATTEMPTS, JobStatus
from infrastructure.database.engine import Database
from infrastructure.database.repositories.attempts import AttemptRepository
from infrastructure.database.repositories.cleanup import CleanupRepository
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.maintenance import MaintenanceRepository

PENDING, RUNNING, COMPLETED, FAILED = JobStatus


@dataclass
class Expected:
    """The expected state of one job."""

    user_id: UUID
    number: int
    status: JobStatus = PENDING
    attempt: int = 0
    errors: int = 0
    token: UUID | None = None
    expired: bool = False
    cancelled: bool = False
    keeps_upload: bool = True
    turn: int | None = None

    def end(self, status: JobStatus) -> None:
        self.status, self.token, self.expired = status, None, False
        if status is COMPLETED or self.cancelled:
            self.keeps_upload = False

    def release(self, *, counts: bool, deferred: bool = False) -> None:
        self.errors += counts
        self.turn = None if deferred else self.turn
        over = self.cancelled or (counts and self.errors >= MAX_ATTEMPTS)
        self.end(FAILED if over else PENDING)


class Repositories:
    """The repositories of an action, in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.attempts = AttemptRepository(connection)
        self.jobs = JobRepository(connection)
        self.maintenance = MaintenanceRepository(connection)
        self.cleanup = CleanupRepository(connection)


@dataclass
class Shared:
    """The database, the event loop's runner for the synchronous state machine, and the expected rows.

    `changes` collects the changes of status of all examples.
    """

    database: Database
    run: Callable[[Awaitable[Any]], Any]
    jobs: dict[str, Expected] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    changes: set[tuple[str, str]] = field(default_factory=set)
