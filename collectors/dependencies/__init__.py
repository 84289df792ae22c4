"""Declared dependencies, the modules of the tree, and the distribution that provides an imported name."""
