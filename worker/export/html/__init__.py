"""The HTML report of a run: one file without script, for people."""
