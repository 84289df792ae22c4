"""What is kept in Redis: the queue, the worker registry, encrypted tokens and the facts cache."""
