"""Text output of runs: lists, findings, comparisons and trends."""
