"""The program: ARQ tasks, use cases, maintenance, the command, and the client that an API imports."""
