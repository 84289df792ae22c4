"""Findings: severity, identity and hashes of single problems, and roles of files."""
