"""`vibe8 audit`: the audit log, for operators."""

from datetime import UTC, datetime, timedelta

from domain.audit import Action, AuditEntry
from domain.text import JSON
from infrastructure.settings import load_settings
from worker.cli.exit_codes import DONE
from worker.cli.output.audit import show_entries
from worker.cli.output.writer import OutputWriter
from worker.client.operator import OperatorClient


async def audit(
    user: str | None, action: Action | None, since: timedelta | None, limit: int, output: OutputWriter
) -> int:
    """List the newest entries, at most `limit`: of one user, given by email or id, of one action, or all."""
    earliest = None if since is None else datetime.now(UTC) - since
    entries: list[AuditEntry] = []
    async with OperatorClient.open(load_settings(), lazy_redis=True) as operator:
        user_id = None if user is None else await operator.find_user(user)
        after = None
        while len(entries) < limit:
            page = await operator.list_audit_entries(
                user_id=user_id, action=action, since=earliest, limit=limit - len(entries), after=after
            )
            if not page:
                break
            entries += page
            after = page[-1].cursor
    documents: list[JSON] = [entry.to_json() for entry in entries]
    if output.as_json:
        output.print_json(documents)
    else:
        show_entries(output.console, documents)
    return DONE
