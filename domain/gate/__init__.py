"""The quality gate: whether a run may be merged, judged against an earlier run."""
