"""The sandbox of a child process: Landlock, seccomp, privileges, limits, and what this machine guarantees."""
