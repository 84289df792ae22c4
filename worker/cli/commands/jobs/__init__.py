"""Subcommands about jobs."""
