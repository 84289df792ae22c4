"""Watching jobs: what is shown of one, and one reader for all that a process watches."""
