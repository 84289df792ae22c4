"""Fetching of sources: git repositories, uploads and local directories, all written to the same layout on disk."""
