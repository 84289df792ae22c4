"""The commands about finished analyses, which stay after their jobs are deleted."""
