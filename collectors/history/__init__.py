"""The lines that each commit of a history changed."""
