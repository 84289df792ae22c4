"""Drivers of the analysers: bandit, vulture, ruff."""
