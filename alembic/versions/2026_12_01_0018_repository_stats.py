"""Statistics of tracked repositories, counted once in a while by one replica."""

from collections.abc import Sequence

from alembic import op

revision: str = "0018"
down_revision: str | Sequence[str] | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# The numbers of each repository come from the partial index of its runs. `recent` is younger than 7 days; `before` is
# the newest run that is not, and has a score.
VIEW = """
    CREATE MATERIALIZED VIEW repository_stats AS
    SELECT counted.*,
        10.0 * counted.followers + counted.recent_runs + counted.improvement AS trending
    FROM (
        SELECT repository.id AS repository_id, repository.owner_id,
            repository.settings @> '{"public": true}' AS public,
            runs.runs, latest.quality_score AS latest_score, insights.mean_confidence, insights.insights,
            follows.followers, runs.recent_runs,
            greatest(0.0, coalesce(latest.quality_score - before.quality_score, 0.0)) AS improvement
        FROM repositories AS repository
        CROSS JOIN LATERAL (
            SELECT count(*)::integer AS runs,
                (count(*) FILTER (WHERE created_at >= now() - interval '7 days'))::integer AS recent_runs
            FROM analysis_runs AS run
            WHERE run.options ? 'repository_id' AND run.options ->> 'repository_id' = repository.id::text
        ) AS runs
        LEFT JOIN LATERAL (
            SELECT quality_score FROM analysis_runs AS run
            WHERE run.options ? 'repository_id' AND run.options ->> 'repository_id' = repository.id::text
                AND run.quality_score IS NOT NULL
            ORDER BY run.options ->> 'repository_id' DESC, run.created_at DESC LIMIT 1
        ) AS latest ON true
        LEFT JOIN LATERAL (
            SELECT quality_score FROM analysis_runs AS run
            WHERE run.options ? 'repository_id' AND run.options ->> 'repository_id' = repository.id::text
                AND run.quality_score IS NOT NULL AND run.created_at < now() - interval '7 days'
            ORDER BY run.options ->> 'repository_id' DESC, run.created_at DESC LIMIT 1
        ) AS before ON true
        CROSS JOIN LATERAL (
            SELECT count(*)::integer AS insights, avg(confidence_score)::float8 AS mean_confidence
            FROM insights WHERE insights.repository_id = repository.id
        ) AS insights
        CROSS JOIN LATERAL (
            SELECT count(*)::integer AS followers FROM user_repository_follows AS follow
            WHERE follow.repository_id = repository.id
        ) AS follows
    ) AS counted
"""
FUNCTION = """
    CREATE FUNCTION get_repository_stats(uuid) RETURNS SETOF repository_stats LANGUAGE sql STABLE AS
    $$ SELECT * FROM repository_stats WHERE repository_id = $1 $$
"""


def upgrade() -> None:
    op.execute(VIEW)
    # CONCURRENTLY needs a unique index without a condition.
    op.execute("CREATE UNIQUE INDEX ix_repository_stats_repository_id ON repository_stats (repository_id)")
    op.execute("CREATE INDEX ix_repository_stats_owner ON repository_stats (owner_id, trending DESC, repository_id)")
    op.execute(
        "CREATE INDEX ix_repository_stats_public ON repository_stats (trending DESC, repository_id) WHERE public"
    )
    op.execute(FUNCTION)


def downgrade() -> None:
    op.execute("DROP FUNCTION get_repository_stats(uuid)")
    op.execute("DROP MATERIALIZED VIEW repository_stats")
