"""Implementations of the subcommands. Each is imported when it runs, so that `vibe8 --help` starts quickly."""
