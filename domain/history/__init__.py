"""What a git history says about the files of a tree: hotspots, coupling, ownership, shares of AI assistants."""
