"""How calls become requests: written once as coroutines, and run by a blocking and by an asynchronous connection."""
