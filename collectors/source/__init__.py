"""Source files, read, decoded, parsed and measured once for all collectors."""
