"""The engine that runs the collectors over a tree: discovery, map, reduce, process pool, cache, report."""
