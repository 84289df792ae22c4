"""The documents of runs that were asked for last: a stored run does not change, and a document takes long to make."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from uuid import UUID

KEPT_DOCUMENTS = 16
"""Documents that are kept in memory, of at most 2 MB each."""


class DocumentCache:
    """Documents by run. One is made at a time, however many are asked for at once."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._documents: OrderedDict[UUID, bytes] = OrderedDict()

    async def get(self, run_id: UUID, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return the run's document, which `make` makes where it is not kept. Raises what that raises."""
        if (kept := self._kept(run_id)) is not None:
            return kept
        async with self._turn:
            if (kept := self._kept(run_id)) is not None:
                return kept
            document = self._documents[run_id] = await make()
            while len(self._documents) > KEPT_DOCUMENTS:
                self._documents.popitem(last=False)
            return document

    def _kept(self, run_id: UUID) -> bytes | None:
        if run_id not in self._documents:
            return None
        self._documents.move_to_end(run_id)
        return self._documents[run_id]
