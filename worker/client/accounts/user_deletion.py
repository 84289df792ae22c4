"""Deletion of a user with everything that belongs to the user, in chunks."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure.database import chunks
from infrastructure.database.repositories.users import DeletedRows, UserRepository
from worker.client.connections import Connections


async def delete_user(connections: Connections, user_id: UUID, *, by_operator: bool = False) -> None:
    """Delete what belongs to the user, and the user last, under the submissions' lock.

    Entries in the audit log stay with the user's id alone. What is submitted meanwhile is deleted too. If a call fails
    or is interrupted, the user still exists, and another call goes on. Raises NotFoundError, ServiceUnavailableError.
    """
    complete = False
    while not complete:
        for change in _steps(user_id):
            async for chunk in chunks.in_chunks(connections.database, change):
                await connections.delete_tokens(chunk.job_ids)
        async with connections.database.unit_of_work() as work:
            deleted = await UserRepository(work).delete(user_id, chunks.CHUNK_ROWS, by_operator=by_operator)
        await connections.delete_tokens(deleted.job_ids)
        complete = deleted.complete


def _steps(user_id: UUID) -> list[Callable[[AsyncConnection, int], Awaitable[DeletedRows]]]:
    return [
        lambda work, limit: UserRepository(work).delete_keys(user_id, limit),
        lambda work, limit: UserRepository(work).delete_sessions(user_id, limit),
        lambda work, limit: UserRepository(work).delete_repositories(user_id, limit),
        lambda work, limit: UserRepository(work).delete_follows(user_id, limit),
        lambda work, limit: UserRepository(work).delete_reports(user_id, limit),
        lambda work, limit: UserRepository(work).delete_jobs(user_id, limit),
        lambda work, limit: UserRepository(work).delete_runs(user_id, limit),
        lambda work, limit: UserRepository(work).delete_webhook_deliveries(user_id, limit),
        lambda work, limit: UserRepository(work).delete_evaluations(user_id, limit),
        lambda work, limit: UserRepository(work).forget_addresses(user_id, limit),
    ]
