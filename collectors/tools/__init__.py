"""Drivers of bandit, vulture and ruff, and the processes of native tools."""
