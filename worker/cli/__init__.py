"""The command `vibe8`."""
