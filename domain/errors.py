"""Errors that cross package borders. Adapters translate other exceptions into these, once.

The text of an error is one line that tells its reader what to do.
"""

from datetime import datetime


class Vibe8Error(Exception):
    """Base class of all errors that this program raises on purpose."""


class TransientError(Vibe8Error):
    """A failure outside this program that may pass: trying again can succeed."""


class PermanentError(Vibe8Error):
    """A failure that trying again would repeat."""


class InvalidInputError(PermanentError):
    """The submission itself is invalid: not a zip, a bad URL, no Python file, too large."""


class NotFoundError(PermanentError):
    """There is no such job, run, repository, key, report or user."""


class ForbiddenError(PermanentError):
    """The job, run, repository, key, report or user exists and belongs to somebody else."""


class InvalidKeyError(PermanentError):
    """The API key is malformed, unknown, revoked or expired."""


class PermissionDeniedError(PermanentError):
    """The API key does not have the permission, or only an operator may do this."""


class LimitExceededError(PermanentError):
    """A limit of the user's plan, or of keys, is used up: `used` of `limit`, until `resets_at` if time helps."""

    def __init__(
        self,
        message: str = "",
        *,
        used: int | None = None,
        limit: int | None = None,
        resets_at: datetime | None = None,
    ) -> None:
        super().__init__(message)
        self.used, self.limit, self.resets_at = used, limit, resets_at


class RateLimitedError(LimitExceededError):
    """The API key has made all requests of its hour: `limit` of them. The hour ends in `reset_seconds`."""

    def __init__(self, message: str = "", *, limit: int = 0, reset_seconds: int = 0) -> None:
        super().__init__(message, used=limit, limit=limit)
        self.reset_seconds = reset_seconds


class ReportGoneError(PermanentError):
    """The shared report has expired, or was seen as often as it may."""


class ReportPasswordError(PermanentError):
    """The shared report has a password: none was `given`, or it was wrong."""

    def __init__(self, message: str = "", *, given: bool = False) -> None:
        super().__init__(message)
        self.given = given


class TooManyAttemptsError(LimitExceededError):
    """Too many wrong passwords were given for the shared report. It takes another in `reset_seconds`."""

    def __init__(self, message: str = "", *, reset_seconds: int = 0) -> None:
        super().__init__(message)
        self.reset_seconds = reset_seconds


class IllegalTransitionError(PermanentError):
    """The state of the job does not allow this change (see `domain.jobs.Transition`)."""


class ServiceUnavailableError(TransientError):
    """PostgreSQL, Redis or a git host cannot be reached, or refuses: the `fault`, and the `advice` if there is any."""

    def __init__(self, fault: str = "", *, advice: str = "") -> None:
        super().__init__(f"{fault}; {advice}" if advice else fault)
        self.fault, self.advice = fault, advice


class LeaseLostError(TransientError):
    """A rescue, a cancellation or the cleanup took the job away. Its result must not be written."""


class HandedBackError(TransientError):
    """The worker gives a job that waits for a core back to the queue, because another worker has room."""


class CancelledByUserError(PermanentError):
    """The job's owner or an operator cancelled it."""


class TokenLostError(PermanentError):
    """The token of a private repository is gone before it was used. The submitter must submit again."""


class AnalysisKilledError(TransientError):
    """The analysis process ended without a result: out of memory, out of time, or a crash.

    `timed_out` says that it was killed at its deadline.
    """

    def __init__(self, message: str = "", *, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out
