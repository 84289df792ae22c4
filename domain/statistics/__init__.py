"""Statistics over runs: the formulas, a project's trends, and its standing among well-known packages."""
