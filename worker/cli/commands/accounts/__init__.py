"""Commands about users: their API keys, their plans, and what is used of them."""
