"""What the server of PostgreSQL itself says: its limits, and what keeps its dead rows."""
