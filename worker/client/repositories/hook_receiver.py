"""Push hooks of git hosts: whoever sends one proves to know the repository's secret."""

import secrets
from collections.abc import Mapping
from uuid import UUID

from domain.errors import NotFoundError, PermanentError
from domain.tracking.hooks import Hook, HookOutcome
from infrastructure.database.tracking.hook_deliveries import HookDeliveryRepository
from infrastructure.observability.prometheus_metrics import HOOKS
from worker.client.connections import Connections


class HookReceiver:
    """Takes push hooks. All that are not proven are answered alike, and take as long."""

    def __init__(self, connections: Connections) -> None:
        self._database, self._vault = connections.database, connections.vault
        self._unknown = secrets.token_urlsafe()
        """Compared where there is no secret, so that the time of an answer does not tell which repositories exist."""

    async def receive(self, repository_id: UUID, headers: Mapping[str, str], body: bytes) -> HookOutcome:
        """See `RepositoriesClient.receive_hook`."""
        hook = Hook.of(headers, body)
        async with self._database.unit_of_work() as work:
            deliveries = HookDeliveryRepository(work)
            secret = self._decrypted(await deliveries.secret(repository_id))
            if not hook.is_signed_with(secret or self._unknown) or secret is None:
                HOOKS.labels("unsigned").inc()
                raise NotFoundError("there is no such hook, or its signature is wrong")
            outcome = await self._accept(deliveries, repository_id, hook)
        HOOKS.labels(str(outcome)).inc()
        return outcome

    @staticmethod
    async def _accept(deliveries: HookDeliveryRepository, repository_id: UUID, hook: Hook) -> HookOutcome:
        if not hook.is_push:
            return HookOutcome.IGNORED
        if not await deliveries.see(repository_id, hook.delivery):
            return HookOutcome.REPEATED
        await deliveries.push(repository_id, hook.host_metadata())
        return HookOutcome.CHECKING

    def _decrypted(self, encrypted: str | None) -> str | None:
        try:
            return None if encrypted is None else self._vault.decrypt(encrypted)
        except PermanentError:
            return None
