"""What runs the application: uvicorn, health probes, and the end of a process."""
