"""PostgreSQL: engine, tables, migrations and repositories. Repositories never commit."""
