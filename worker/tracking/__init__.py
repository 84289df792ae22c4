"""Tracked repositories: when each is due, the check of its branches, the jobs of those that moved, and their ends."""
