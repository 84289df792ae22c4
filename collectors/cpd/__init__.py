"""Reimplementation of PMD's copy/paste detector (CPD) for Python: the same tokens, the same duplicated lines."""
