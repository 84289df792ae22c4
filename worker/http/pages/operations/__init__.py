"""`/ops` and the pages below it, for operators. Each act has a confirmation and an entry in the audit log."""
