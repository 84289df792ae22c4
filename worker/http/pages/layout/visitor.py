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
from worker.http.caller import Caller, Permit
from worker.http.identity import Identity
from worker.http.middleware.headers import header_values
from worker.http.middleware.origins import SAFE_METHODS
from worker.http.problems import CROSS_SITE, PERMISSION_MISSING, UNAUTHENTICATED, ProblemError

COOKIE = "vibe8_session"


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """The session whose text is in the cookie. A cookie whose session has ended identifies nobody."""

    client: Client

    async def __call__(self, request: Request) -> Identity | None:
        """See `worker.http.identity.Identify`. Raises ProblemError for a change that a page of ours has not sent."""
        text = request.cookies.get(COOKIE)
        if text is None:
            return None
        try:
            session = await self.client.sessions.identify(text)
        except InvalidKeyError:
            return None
        if request.method not in SAFE_METHODS:
            require_own_page(request)
        return Identity(user_id=session.user_id, permissions=session.permissions)


def require_own_page(request: Request) -> None:
    """Raise ProblemError unless the browser says that a page of this service has sent the request.

    Every browser sends `Origin` with a POST; the layer before has compared it with `Host`.
    """
    sites = header_values(request.scope, "sec-fetch-site")
    if not header_values(request.scope, "origin") and sites != ["same-origin"]:
        raise ProblemError(CROSS_SITE, "a form of this service must send this request, with its Origin")


def set_cookie(response: Response, text: str) -> Response:
    """Give the browser a session: for this host alone, over TLS or on this machine, and out of reach of scripts."""
    response.set_cookie(
        COOKIE, text, max_age=SESSION_DAYS * 86_400, path="/", secure=True, httponly=True, samesite="lax"
    )
    return response


def delete_cookie(response: Response) -> Response:
    """Take the session from the browser."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    return response


@dataclass(frozen=True, slots=True)
class SignInNeededError(Exception):
    """A page that needs a visitor who is signed in; `wanted` is its path."""

    wanted: str

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
