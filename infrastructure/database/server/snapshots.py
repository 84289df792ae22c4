"""Old snapshots: what keeps VACUUM from removing dead rows."""

from sqlalchemy import text

from infrastructure.database.engine import Database

# A role without pg_read_all_stats sees its own sessions only. A slot has no age; one that is in use follows its reader.
_OLD = text("""
    SELECT format('a transaction of %s (process %s) is open for %s min',
            coalesce(nullif(application_name, ''), usename, 'an unknown session'), pid,
            floor(extract(epoch FROM clock_timestamp() - xact_start) / 60)) AS description
    FROM pg_stat_activity
    WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
        AND xact_start < clock_timestamp() - make_interval(secs => :age)
    UNION ALL
    SELECT format('the prepared transaction %s is open for %s min', gid,
            floor(extract(epoch FROM clock_timestamp() - prepared) / 60))
    FROM pg_prepared_xacts WHERE prepared < clock_timestamp() - make_interval(secs => :age)
    UNION ALL
    SELECT format('the replication slot %s is not in use and keeps rows', slot_name)
    FROM pg_replication_slots WHERE NOT active AND coalesce(xmin, catalog_xmin) IS NOT NULL
""")


async def old_snapshots(database: Database, age_seconds: float) -> list[str]:
    """Return one line for each transaction older than this, prepared ones too, and for each unused replication slot.

    Raises ServiceUnavailableError.
    """
    async with database.unit_of_work() as work:
        return list((await work.scalars(_OLD, {"age": age_seconds})).all())
