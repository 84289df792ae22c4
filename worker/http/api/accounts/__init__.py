"""Routes about what a user has beside jobs and runs."""
