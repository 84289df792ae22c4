"""Cache of facts about the files of a source: what the worker asks and stores, and how a child receives it."""
