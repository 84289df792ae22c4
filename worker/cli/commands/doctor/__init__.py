"""`vibe8 doctor`: the checks, a module for each kind."""
