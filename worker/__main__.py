"""`python -m worker` runs the command `vibe8`."""

from worker.cli.main import main

main()
