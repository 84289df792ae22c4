"""Text output of evaluations."""
