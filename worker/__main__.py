"""`python -m worker` is the command `vibe8`."""

from worker.cli.app import main

main()
