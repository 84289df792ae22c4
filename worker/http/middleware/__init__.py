"""What every request passes before its route: context, limits of its head, host name, origin, size of its body."""
