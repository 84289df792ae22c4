"""The rule of PMD's copy/paste detector for Python, written anew: the same tokens, the same duplicated lines."""
