"""PostgreSQL and Valkey from wheels, for a laptop, a demonstration or a test."""
