"""HTTP requests that leave this machine: the package index and webhooks, and which addresses they may reach."""
