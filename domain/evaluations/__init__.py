"""Evaluations: projects of declared authors, compared by what the collectors measured of them."""
