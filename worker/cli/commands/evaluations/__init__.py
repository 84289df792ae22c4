"""Evaluations: submit the projects of a manifest, and show what came of them."""
