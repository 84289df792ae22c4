"""SQL, one class a concern. Repositories act within a transaction and never commit."""
