"""Followers of tracked repositories, within one unit of work. Callers check what a user may follow."""

import json
from collections.abc import Collection
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import Action, Actor
from domain.tracking.follows import Follow, FollowCursor, FollowSettings
from infrastructure.database.access.audit_statements import actor_values
from infrastructure.database.tracking.repositories import entries

_COLUMNS = "user_id, repository_id, followed_at, notification_settings"

_FOLLOWED = entries(
    "followed",
    Action.FOLLOW,
    user="user_id",
    details="jsonb_build_object('when', notification_settings ->> 'when')",
)
_FOLLOW = text(f"""
    WITH followed AS (
        INSERT INTO user_repository_follows (user_id, repository_id, notification_settings)
        VALUES (:user_id, :repository_id, CAST(:settings AS jsonb))
        ON CONFLICT (user_id, repository_id) DO UPDATE SET notification_settings = excluded.notification_settings
        RETURNING {_COLUMNS}, repository_id AS id
    ), logged AS ({_FOLLOWED})
    SELECT {_COLUMNS} FROM followed
""")  # nosec B608 # noqa: S608 - no input in it
_UNFOLLOW = text(f"""
    WITH unfollowed AS (
        DELETE FROM user_repository_follows WHERE user_id = :user_id AND repository_id = :repository_id
        RETURNING user_id, repository_id AS id
    )
    {entries("unfollowed", Action.UNFOLLOW, user="user_id")}
""")  # nosec B608 # noqa: S608 - no input in it
_LIST = text(f"""
    SELECT {_COLUMNS} FROM user_repository_follows
    WHERE user_id = :user_id AND (followed_at, repository_id)
        < (coalesce(CAST(:before AS timestamptz), 'infinity'), CAST(:before_id AS uuid))
    ORDER BY user_id, followed_at DESC, repository_id DESC LIMIT :limit
""")  # nosec B608 # noqa: S608 - no input in it
_AMONG = text(f"""
    SELECT {_COLUMNS} FROM user_repository_follows
    WHERE user_id = :user_id AND repository_id = ANY(CAST(:ids AS uuid[]))
""")  # nosec B608 # noqa: S608 - no input in it
_DELETE_OF_USER = text("""
    WITH chosen AS MATERIALIZED (
        SELECT repository_id FROM user_repository_follows WHERE user_id = :id
        ORDER BY repository_id LIMIT :limit FOR UPDATE
    )
    DELETE FROM user_repository_follows AS follow USING chosen
    WHERE follow.user_id = :id AND follow.repository_id = chosen.repository_id
""")
_LAST_ID = UUID(int=(1 << 128) - 1)


class FollowRepository:
    """The table `user_repository_follows`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def follow(
        self,
        user_id: UUID,
        repository_id: UUID,
        settings: FollowSettings,
        actor: Actor = Actor(),  # noqa: B008
    ) -> Follow:
        """Let the user follow the repository, or change the settings of one who does."""
        values = {"user_id": user_id, "repository_id": repository_id, "settings": json.dumps(settings.to_json())}
        row = (await self._connection.execute(_FOLLOW, {**values, **actor_values(actor)})).mappings().one()
        return _follow(row)

    async def unfollow(self, user_id: UUID, repository_id: UUID, actor: Actor = Actor()) -> bool:  # noqa: B008
        """Let the user follow no longer. Returns whether the user did."""
        values = {"user_id": user_id, "repository_id": repository_id, **actor_values(actor)}
        return (await self._connection.execute(_UNFOLLOW, values)).rowcount > 0

    async def list_page(self, user_id: UUID, *, limit: int, after: FollowCursor | None = None) -> list[Follow]:
        """Return one page of what the user follows, newest first."""
        before, before_id = (None, _LAST_ID) if after is None else (after.followed_at, after.repository_id)
        values = {"user_id": user_id, "before": before, "before_id": before_id, "limit": limit}
        return [_follow(row) for row in (await self._connection.execute(_LIST, values)).mappings()]

    async def among(self, user_id: UUID, repository_ids: Collection[UUID]) -> list[Follow]:
        """Return those of these repositories that the user follows, in no order."""
        rows = await self._connection.execute(_AMONG, {"user_id": user_id, "ids": list(repository_ids)})
        return [_follow(row) for row in rows.mappings()]

    async def delete_of_user(self, user_id: UUID, limit: int) -> int:
        """Delete up to `limit` follows of the user, who is being deleted, and return how many."""
        return (await self._connection.execute(_DELETE_OF_USER, {"id": user_id, "limit": limit})).rowcount


def _follow(row: RowMapping) -> Follow:
    return Follow(
        user_id=row["user_id"],
        repository_id=row["repository_id"],
        followed_at=row["followed_at"],
        settings=FollowSettings.from_json(row["notification_settings"]),
    )
