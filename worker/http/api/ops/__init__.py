"""What operators do: see and steer the fleet, any user's jobs, checks and webhooks, and read the audit log."""
