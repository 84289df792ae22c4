"""What each command does. Imported only when the command runs, so that `vibe8 --help` starts quickly."""
