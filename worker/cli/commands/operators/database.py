"""`vibe8 migrate` and `vibe8 cleanup`."""

from domain.errors import InvalidInputError
from infrastructure.database.connecting import NEEDS_SESSION, sqlalchemy_url
from infrastructure.database.engine import Database
from infrastructure.database.migrate import current_revision, head_revision, upgrade
from infrastructure.settings import load_settings
from worker.cli.exit_codes import DONE
from worker.cli.output.writer import OutputWriter
from worker.jobs.cleanup import cleanup


async def clean_up(output: OutputWriter) -> int:
    """Run the six-hourly cleanup once."""
    settings = load_settings()
    database = Database.from_settings(settings, "vibe8-cleanup")
    try:
        result = await cleanup(database, settings)
    finally:
        await database.close()
    if output.as_json:
        counts = {
            "deleted": result.deleted,
            "stale_running": result.stale_running,
            "stale_pending": result.stale_pending,
        }
        output.print_json(counts)
    else:
        stale = result.stale_running + result.stale_pending
        output.print_line(f"{result.deleted} finished jobs deleted, {stale} stale jobs failed")
    return DONE


async def migrate(output: OutputWriter) -> int:
    """Update the database schema to what this version needs."""
    settings = load_settings(need_redis=False)
    if settings.pools_transactions:
        raise InvalidInputError(NEEDS_SESSION)
    url = sqlalchemy_url(settings)
    before = await current_revision(url)
    await upgrade(url)
    if output.as_json:
        output.print_json({"before": before, "after": head_revision()})
    elif before == head_revision():
        output.print_line(f"the schema is up to date ({head_revision()})")
    else:
        output.print_line(f"the schema went from {before or 'nothing'} to {head_revision()}")
    return DONE
