"""Outgoing HTTP requests, to the package index and to webhooks, and the check of the addresses they may reach."""
