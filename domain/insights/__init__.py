"""Insights: what the numbers of a run say, by rules with numbers, places and what would refute them."""
