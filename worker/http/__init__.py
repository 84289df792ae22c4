"""The HTTP service, built on `worker.client` alone: the JSON API, pages, and what serves them.

    app = create_app(client, identify=my_sign_in)      # an ASGI application, to be mounted in yours

`vibe8 serve` runs it with API keys and the header of a trusted proxy.
"""

from worker.http.app import create_app
from worker.http.identity import USER_PERMISSIONS, BearerKeys, FirstOf, Identify, Identity, Permission
from worker.http.options import HttpOptions
from worker.http.problems import ProblemError

__all__ = [
    "USER_PERMISSIONS",
    "BearerKeys",
    "FirstOf",
    "HttpOptions",
    "Identify",
    "Identity",
    "Permission",
    "ProblemError",
    "create_app",
]
