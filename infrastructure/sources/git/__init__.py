"""Git repositories: cloning, reading a commit's files and reading history, without a checkout."""
