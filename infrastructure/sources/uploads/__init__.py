"""Uploads: a `.py` file, or a `.zip` archive with or without its `.git`."""
