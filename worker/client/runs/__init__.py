"""Runs of one user: read, compare, trends."""
