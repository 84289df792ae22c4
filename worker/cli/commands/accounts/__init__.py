"""Commands about users: their API keys."""
