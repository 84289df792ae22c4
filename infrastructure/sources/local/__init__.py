"""Directories of this machine, with the history of their HEAD."""
