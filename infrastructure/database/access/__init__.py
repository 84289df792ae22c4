"""Who did what: the audit log, its statements and its partitions."""
