"""Lines changed by the commits of a git history."""
