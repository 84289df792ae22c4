"""Tracked repositories: SQL, one class a concern. As in `infrastructure.database.repositories`, nothing commits."""
