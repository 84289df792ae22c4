"""Subjects of `OperatorClient`: the fleet, its ends, checks of tracked repositories, and webhook deliveries."""
