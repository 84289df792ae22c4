"""How the command prints: JSON documents, tables and progress."""
