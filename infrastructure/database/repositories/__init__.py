"""SQL, one class a concern. Repositories work within a transaction of the caller and never commit."""
