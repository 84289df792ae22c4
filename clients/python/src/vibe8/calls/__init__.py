"""The calls of the API by subject. Each is described once, for the blocking and for the asynchronous client."""
