"""The outside world: settings, PostgreSQL, Redis, git, uploads, child processes, the package index."""
