"""Evaluations: projects of declared authors, submitted together and compared."""
