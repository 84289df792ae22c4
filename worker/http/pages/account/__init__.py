"""The page of an account: plan and usage, API keys, sessions."""
