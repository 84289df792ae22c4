"""Layout of a fetched source on disk, the limits of a source, and the writer of its files."""
