"""Output of the command: JSON documents, tables, progress and errors."""
