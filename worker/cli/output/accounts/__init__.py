"""Text output about users: API keys, plans."""
