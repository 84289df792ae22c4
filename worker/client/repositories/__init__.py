"""Tracked repositories: their owners' calls, push hooks, and followers."""
