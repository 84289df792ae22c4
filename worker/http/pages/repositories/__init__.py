"""Pages of tracked repositories: lists of them, and one with its settings."""
