"""Fetching of sources: git repositories, uploads and local directories, all written to the same layout on disk."""

import os

# Without this, importing GitPython fails if git is not installed. Uploads of a single file do not need git, and other
# sources report a missing git when they run it.
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
