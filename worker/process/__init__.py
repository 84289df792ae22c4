"""The running worker: main loop, composition root, ARQ task, job pool, backpressure, health, registration."""
