"""Who looks at a page: the session's cookie, and what a page needs to know of its visitor."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import InvalidKeyError
from domain.keys import Permission
from domain.sessions import SESSION_DAYS
from worker.client import Client
from worker.http.address import client_for
from worker.http.caller import Caller, Permit
from worker.http.identity import Identity
from worker.http.middleware.headers import header_values
from worker.http.middleware.origins import SAFE_METHODS, host_name
from worker.http.options import LOCAL_NAMES, HttpOptions
from worker.http.problems import CROSS_SITE, PERMISSION_MISSING, UNAUTHENTICATED, ProblemError

COOKIE = "vibe8_session"
HOST_COOKIE = f"__Host-{COOKIE}"
"""The name under which browsers take a cookie from this very host alone, over TLS: another host of the same domain can
plant none. On this machine there may be no TLS."""


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """The session whose text is in the cookie. A cookie whose session has ended identifies nobody."""

    client: Client
    options: HttpOptions

    async def __call__(self, request: Request) -> Identity | None:
        """See `worker.http.identity.Identify`. A session that a key began counts as a request of the key.

        Raises ProblemError for a change that a page of ours has not sent, and RateLimitedError.
        """
        text = session_text(request)
        if text is None:
            return None
        try:
            session = await client_for(request, self.client, self.options).sessions.identify(text)
        except InvalidKeyError:
            return None
        if request.method not in SAFE_METHODS:
            require_own_page(request)
        return Identity(user_id=session.user_id, permissions=session.permissions, rate_limit=session.rate_limit)


def require_own_page(request: Request) -> None:
    """Raise ProblemError unless the browser says that a page of this service has sent the request.

    Every browser sends `Origin` with a POST; the layer before has compared it with `Host`.
    """
    sites = header_values(request.scope, "sec-fetch-site")
    if not header_values(request.scope, "origin") and sites != ["same-origin"]:
        raise ProblemError(CROSS_SITE, "a form of this service must send this request, with its Origin")


def cookie_name(request: Request) -> str:
    """Return the name of the session's cookie at the host that the request names."""
    is_local = any(host_name(host) in LOCAL_NAMES for host in header_values(request.scope, "host"))
    return COOKIE if is_local else HOST_COOKIE


def session_text(request: Request) -> str | None:
    """Return the text of the session's cookie."""
    return cookie_text(request, cookie_name(request))


def cookie_text(request: Request, wanted: str) -> str | None:
    """Return the text of a cookie; None where there is none, or where a second one may be planted."""
    pairs = [pair.partition("=") for value in header_values(request.scope, "cookie") for pair in value.split(";")]
    found = [value.strip() for name, _, value in pairs if name.strip() == wanted]
    return found[0] if len(found) == 1 else None


def set_cookie(request: Request, response: Response, text: str) -> Response:
    """Give the browser a session: for this host alone, over TLS or on this machine, and out of reach of scripts."""
    response.set_cookie(
        cookie_name(request), text, max_age=SESSION_DAYS * 86_400, path="/", secure=True, httponly=True, samesite="lax"
    )
    return response


def delete_cookie(request: Request, response: Response) -> Response:
    """Take the session from the browser."""
    response.delete_cookie(cookie_name(request), path="/", secure=True, httponly=True, samesite="lax")
    return response


class SignInNeededError(Exception):
    """A page that needs a visitor who is signed in; `wanted` is its path."""

    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)
        self.wanted = wanted

    @property
    def location(self) -> str:
        """Where to sign in."""
        return f"/sign-in?next={quote(self.wanted, safe='')}"


@dataclass(frozen=True, slots=True)
class Visit:
    """A dependency that returns the visitor of a page. Raises SignInNeededError, or ProblemError."""

    permission: Permission

    async def __call__(self, request: Request) -> Caller:
        """See the class."""
        try:
            return await Permit(self.permission)(request)
        except ProblemError as error:
            if error.problem is UNAUTHENTICATED:
                path = request.url.path.removeprefix(str(request.scope.get("root_path", "")))
                query = f"?{request.url.query}" if request.url.query else ""
                raise SignInNeededError(path + query if request.method in SAFE_METHODS else "/") from None
            if error.problem is PERMISSION_MISSING:
                raise ProblemError(
                    PERMISSION_MISSING,
                    f"this page needs the permission {self.permission.value!r}; sign in with a key "
                    "or a link that has it",
                ) from None
            raise


Reading = Annotated[Caller, Depends(Visit(Permission.READ))]
Submitting = Annotated[Caller, Depends(Visit(Permission.SUBMIT))]
Managing = Annotated[Caller, Depends(Visit(Permission.MANAGE))]
Operating = Annotated[Caller, Depends(Visit(Permission.OPERATE))]
