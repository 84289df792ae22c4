"""Tags of runs: set, add, remove. Each call checks that the run belongs to the user who asks."""

from collections.abc import Callable
from uuid import UUID

from domain.audit import Actor
from domain.tags import Tags, normalize_tags, with_tags, without_tags
from infrastructure.database.engine import Database
from infrastructure.database.repositories.runs import RunRepository
from worker.client.accounts.ownership import owned_run


class TagsClient:
    """Tags of runs, as `{category: [value, ...]}`. A submission can bring tags (`JobOptions`), its owner change them.

    Categories and values are normalised: Unicode's NFKC, in lower case, with one space between words.
    """

    def __init__(self, database: Database, actor: Actor) -> None:
        self._database, self._actor = database, actor

    async def set(self, user_id: UUID, run_id: UUID, tags: Tags) -> dict[str, list[str]]:
        """Replace all tags of the run, and return them in their normal form.

        Raises NotFoundError, ForbiddenError, and InvalidInputError for tags beyond the limits, or with characters that
        are not shown.
        """
        new = normalize_tags(tags)
        return await self._change(user_id, run_id, lambda _: new)

    async def add(self, user_id: UUID, run_id: UUID, tags: Tags) -> dict[str, list[str]]:
        """Add tags to those of the run, and return all. Raises as `set`."""
        more = normalize_tags(tags)
        return await self._change(user_id, run_id, lambda known: with_tags(known, more))

    async def remove(self, user_id: UUID, run_id: UUID, tags: Tags) -> dict[str, list[str]]:
        """Remove tags from those of the run, and return the others. Raises as `set`."""
        fewer = normalize_tags(tags)
        return await self._change(user_id, run_id, lambda known: without_tags(known, fewer))

    async def _change(
        self, user_id: UUID, run_id: UUID, change: Callable[[Tags], dict[str, list[str]]]
    ) -> dict[str, list[str]]:
        async with self._database.unit_of_work() as work:
            runs = RunRepository(work)
            owned_run(await runs.summary(run_id), user_id)
            known = await runs.lock_tags(run_id)
            changed = change(known)
            if changed != known:
                await runs.set_tags(run_id, changed, self._actor)
        return changed
