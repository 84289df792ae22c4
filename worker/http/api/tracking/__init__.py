"""Routes about tracked repositories and the push hooks of their hosts."""
