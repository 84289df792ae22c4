"""Logs, metrics, traces and the status server."""
