"""Child processes: the asyncio runner, the zygote, the supervisors, the children, and the protocols between them."""
