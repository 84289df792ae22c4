"""Exceptions of the client. All are `Vibe8Error`; those that the service answered are `ProblemError`."""

from collections.abc import Sequence
from dataclasses import dataclass


class Vibe8Error(Exception):
    """Base class of what the client raises, except for ValueError and TypeError for wrong arguments."""


class ConnectionFailedError(Vibe8Error):
    """The service cannot be reached, or did not answer in time. The request may have been carried out."""


class InvalidAnswerError(Vibe8Error):
    """The answer is not what the API describes: too large, no JSON, without a required field, or a redirect."""


class WaitTimeoutError(Vibe8Error, TimeoutError):
    """The job has not ended within the time that the caller gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """What is wrong with one field of a request."""

    field: str
    message: str


class ProblemError(Vibe8Error):
    """The service refused the request (RFC 9457).

    `code` is stable: rely on it, not on the texts. Something between the caller and the service, such as a proxy, may
    have answered without a code: then it is `http_` and the status. `retry_after` is in seconds, or None.
    """

    def __init__(
        self,
        *,
        status: int,
        code: str,
        title: str,
        detail: str = "",
        request_id: str | None = None,
        retry_after: float | None = None,
        errors: Sequence[FieldError] = (),
    ) -> None:
        named = "".join(f"; {error.field}: {error.message}" for error in errors)
        super().__init__(f"{status} {code}: {detail or title}{named}")
        self.status, self.code, self.title, self.detail = status, code, title, detail
        self.request_id, self.retry_after, self.errors = request_id, retry_after, tuple(errors)


class InvalidRequestError(ProblemError):
    """The request is not one that the service accepts: 400, 405, 408, 413, 415, 421, 422."""


class AuthenticationError(ProblemError):
    """No API key, or one that is not valid: 401."""


class PermissionDeniedError(ProblemError):
    """The API key lacks the permission of this call: 403."""


class NotFoundError(ProblemError):
    """Unknown, deleted, or another user's: 404. The answer is the same."""


class ConflictError(ProblemError):
    """The state of the job does not allow this change: 409."""


class GoneError(ProblemError):
    """It was there and has expired: 410."""


class LimitExceededError(ProblemError):
    """A limit of the user's plan is reached: 429. `retry_after` says when it is renewed, if time renews it."""


class RateLimitedError(ProblemError):
    """Too many requests, or too many open streams: 429."""


class ServiceError(ProblemError):
    """The service is at fault: 500 and above."""


class ServiceUnavailableError(ServiceError):
    """The service, or one that it needs, is away for a while: 502, 503, 504."""


_BY_CODE: dict[str, type[ProblemError]] = {"limit_exceeded": LimitExceededError}
_BY_STATUS: dict[int, type[ProblemError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    429: RateLimitedError,
    502: ServiceUnavailableError,
    503: ServiceUnavailableError,
    504: ServiceUnavailableError,
}


def error_class(status: int, code: str) -> type[ProblemError]:
    """Return the exception for a problem; for a code or status of a newer service, the nearest one."""
    general = ServiceError if status >= 500 else InvalidRequestError
    return _BY_CODE.get(code) or _BY_STATUS.get(status, general)
