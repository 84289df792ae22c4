"""Arguments and options of the subcommands. `worker.cli.commands` implements them."""
