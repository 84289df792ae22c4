"""Imports, manifests, and which distribution an import name belongs to."""
