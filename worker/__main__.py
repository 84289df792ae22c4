"""`python -m worker` runs the command `vibe8`."""

from worker.cli.app import main

main()
