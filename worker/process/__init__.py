"""The running worker: main loop, composition root, ARQ task, job claimer, backpressure, health, registration."""
