"""`vibe8 repo`: tracked repositories."""
