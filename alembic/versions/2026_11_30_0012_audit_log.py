"""The audit log, in partitions of a month."""

from collections.abc import Sequence

from alembic import op

revision: str = "0012"
down_revision: str | Sequence[str] | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TABLE = """
    CREATE TABLE audit_logs (
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        user_id uuid,
        action varchar NOT NULL,
        resource_type varchar NOT NULL,
        resource_id varchar,
        details jsonb NOT NULL DEFAULT '{}'::jsonb,
        ip_address inet,
        user_agent varchar,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_audit_logs PRIMARY KEY (id, created_at)
    ) PARTITION BY RANGE (created_at)
"""
INDEXES = (
    ("ix_audit_logs_created_at_id", "(created_at, id)"),
    ("ix_audit_logs_user_id_created_at_id", "(user_id, created_at, id)"),
    ("ix_audit_logs_action_created_at_id", "(action, created_at, id)"),
    ("ix_audit_logs_resource", "(resource_type, resource_id)"),
    ("ix_audit_logs_traced", "(user_id, created_at, id) WHERE ip_address IS NOT NULL OR user_agent IS NOT NULL"),
)

REFUSE = """
    CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            IF NEW.ip_address IS NULL AND NEW.user_agent IS NULL
                AND (NEW.id, NEW.user_id, NEW.action, NEW.resource_type, NEW.resource_id, NEW.details, NEW.created_at)
                    IS NOT DISTINCT FROM
                    (OLD.id, OLD.user_id, OLD.action, OLD.resource_type, OLD.resource_id, OLD.details, OLD.created_at)
            THEN
                RETURN NEW;
            END IF;
        END IF;
        RAISE EXCEPTION 'audit_logs can only grow: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
    END $$
"""

# A row trigger of the partitioned table is one of each partition; a trigger for TRUNCATE each partition needs itself.
ROW_TRIGGER = """
    CREATE TRIGGER audit_logs_refuse_change BEFORE UPDATE OR DELETE ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change()
"""
TRUNCATE_TRIGGER = """
    CREATE TRIGGER audit_logs_refuse_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()
"""

# ATTACH locks the table only against other changes of its partitions; CREATE ... PARTITION OF would lock out inserts.
ATTACH = """
    CREATE FUNCTION attach_audit_partition(name text, bounds text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        EXECUTE format('CREATE TABLE %I (LIKE audit_logs INCLUDING DEFAULTS INCLUDING INDEXES)', name);
        EXECUTE format('CREATE TRIGGER audit_logs_refuse_truncate BEFORE TRUNCATE ON %I'
            ' FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()', name);
        EXECUTE format('ALTER TABLE audit_logs ATTACH PARTITION %I %s', name, bounds);
    END $$
"""

# Rows of the default partition cannot be deleted. So a new default partition takes its place before the month is
# attached; then the rows are inserted again, each into the partition of its month.
CREATE = """
    CREATE FUNCTION create_audit_partitions(ahead int, keep int) RETURNS int LANGUAGE plpgsql AS $$
    DECLARE
        this_month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
        missing timestamp[];
        first timestamp;
        month timestamp;
        moves boolean;
    BEGIN
        -- One replica at a time: two that had read the default partition would wait for each other below.
        PERFORM pg_advisory_xact_lock(hashtext('create_audit_partitions'));
        SELECT date_trunc('month', min(created_at) AT TIME ZONE 'UTC') INTO first FROM audit_logs_default
            WHERE created_at >= (this_month - make_interval(months => keep)) AT TIME ZONE 'UTC';
        SELECT array_agg(each) INTO missing
            FROM generate_series(
                least(this_month, first), this_month + make_interval(months => ahead), interval '1 month') AS each
            WHERE to_regclass('audit_logs_' || to_char(each, 'YYYY_MM')) IS NULL;
        IF missing IS NULL THEN
            RETURN 0;
        END IF;
        -- While this month has no partition, the default one may get a row of it at any moment.
        moves := this_month = ANY(missing) OR EXISTS (SELECT 1 FROM audit_logs_default);
        IF moves THEN
            LOCK TABLE audit_logs IN ACCESS EXCLUSIVE MODE;
            ALTER TABLE audit_logs DETACH PARTITION audit_logs_default;
            ALTER TABLE audit_logs_default RENAME TO audit_logs_moved;
            PERFORM attach_audit_partition('audit_logs_default', 'DEFAULT');
        END IF;
        FOREACH month IN ARRAY missing LOOP
            PERFORM attach_audit_partition(
                'audit_logs_' || to_char(month, 'YYYY_MM'),
                format('FOR VALUES FROM (%L) TO (%L)',
                    to_char(month, 'YYYY-MM-DD') || ' 00:00:00+00',
                    to_char(month + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00'));
        END LOOP;
        IF moves THEN
            INSERT INTO audit_logs SELECT * FROM audit_logs_moved
                WHERE created_at >= (this_month - make_interval(months => keep)) AT TIME ZONE 'UTC';
            DROP TABLE audit_logs_moved;
        END IF;
        RETURN cardinality(missing);
    END $$
"""

DROP = """
    CREATE FUNCTION drop_audit_partitions(keep int) RETURNS int LANGUAGE plpgsql AS $$
    DECLARE
        oldest text := 'audit_logs_' || to_char(
            date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => keep), 'YYYY_MM');
        dropped int := 0;
        old regclass;
    BEGIN
        FOR old IN
            SELECT pg_class.oid FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
            WHERE inhparent = 'audit_logs'::regclass AND relname ~ '^audit_logs_[0-9]{4}_[0-9]{2}$'
                AND relname COLLATE "C" < oldest COLLATE "C"
            ORDER BY relname
        LOOP
            EXECUTE format('DROP TABLE %s', old);
            dropped := dropped + 1;
        END LOOP;
        RETURN dropped;
    END $$
"""


def upgrade() -> None:
    op.execute(TABLE)
    for name, columns in INDEXES:
        op.execute(f"CREATE INDEX {name} ON audit_logs {columns}")
    for statement in (REFUSE, ROW_TRIGGER, TRUNCATE_TRIGGER.format(table="audit_logs"), ATTACH, CREATE, DROP):
        op.execute(statement)
    op.execute("SELECT attach_audit_partition('audit_logs_default', 'DEFAULT')")
    op.execute("SELECT create_audit_partitions(3, 12)")


def downgrade() -> None:
    op.execute("DROP TABLE audit_logs")
    for function in ("drop_audit_partitions", "create_audit_partitions", "attach_audit_partition"):
        op.execute(f"DROP FUNCTION {function}")
    op.execute("DROP FUNCTION refuse_audit_change")
