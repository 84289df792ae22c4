"""Text output of a whole result, a module for each part of it."""
