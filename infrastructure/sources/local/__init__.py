"""Directories of this machine: fetching them with the history of HEAD, and packing them as uploads."""
