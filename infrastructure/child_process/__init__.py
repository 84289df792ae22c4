"""Child processes: the asyncio runner, the zygote, the supervisor of each child, and the wire protocol between them."""
