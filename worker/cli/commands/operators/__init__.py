"""Subcommands for operators."""
