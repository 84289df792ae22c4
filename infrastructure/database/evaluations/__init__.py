"""Evaluations: their rows, and the end of each with that of its last member."""
