"""Rules of tracked repositories: their settings and schedules, when a check is due again, hooks, and followers."""
