"""What every request passes before its route: context, host name, origin, size of its body."""
