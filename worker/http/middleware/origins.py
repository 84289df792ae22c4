"""Host names and origins: refuse requests for another site's name, and those that another site's page sends."""

from starlette.types import ASGIApp, Receive, Scope, Send

from worker.http.middleware.headers import header_values
from worker.http.options import HttpOptions
from worker.http.problems import CROSS_SITE, MALFORMED, MISDIRECTED, ProblemError

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_SITES = frozenset({"same-origin", "none"})
"""`Sec-Fetch-Site` of what a page of this service, or the user, has sent. Programs send none."""

ANY_HOST = "*"


class OriginLayer:
    """ASGI middleware that checks `Host`, and `Origin` and `Sec-Fetch-Site` of what may change something."""

    def __init__(self, app: ASGIApp, options: HttpOptions) -> None:
        self._app, self._options = app, options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or raise ProblemError."""
        if scope["type"] == "http":
            host = self._check_host(scope)
            if scope["method"] not in SAFE_METHODS:
                self._check_origin(scope, host)
        await self._app(scope, receive, send)

    def _check_host(self, scope: Scope) -> str:
        hosts = header_values(scope, "host")
        if len(hosts) != 1:
            raise ProblemError(MALFORMED, "the request must have one Host header")
        allowed = self._options.allowed_hosts
        if ANY_HOST not in allowed and host_name(hosts[0]) not in allowed:
            raise ProblemError(MISDIRECTED, "this service has another host name; HTTP_ALLOWED_HOSTS lists them")
        return hosts[0]

    def _check_origin(self, scope: Scope, host: str) -> None:
        origins = header_values(scope, "origin")
        if not origins:
            if not OWN_SITES.issuperset(header_values(scope, "sec-fetch-site")):
                raise ProblemError(CROSS_SITE, "a page of another site has sent this request")
            return
        own = (f"http://{host.lower()}", f"https://{host.lower()}")  # a proxy may have ended TLS
        same = len(origins) == 1 and origins[0].lower() in own
        if not same and not all(origin in self._options.cors_origins for origin in origins):
            raise ProblemError(CROSS_SITE, "a page of another origin has sent this request")


def host_name(host: str) -> str:
    """Return a `Host` header without its port, in lower case. An IPv6 address keeps its brackets."""
    name, separator, port = host.lower().rpartition(":")
    return name if separator and port.isdecimal() else host.lower()
