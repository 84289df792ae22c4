"""Metrics: declarations, reports, scores, severities, the file tree, package health."""
