"""PostgreSQL: engine, tables and one repository an aggregate. Repositories never commit."""
