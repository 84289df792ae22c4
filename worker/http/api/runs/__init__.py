"""Routes about runs and projects."""
