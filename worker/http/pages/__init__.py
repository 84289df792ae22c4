"""Pages for people, rendered here and useful without script."""
