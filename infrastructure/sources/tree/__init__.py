"""The scratch layout that every source is brought to, its limits, and the only code that writes it."""
