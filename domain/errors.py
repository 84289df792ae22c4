"""Every error that crosses a room's border. Adapters translate foreign exceptions into these once.

An error's text is one line that its reader can act on.
"""


class Vibe8Error(Exception):
    """Root of all errors raised on purpose."""


class TransientError(Vibe8Error):
    """The world was at fault and may recover: trying again is sensible."""


class PermanentError(Vibe8Error):
    """Trying again would end the same way."""


class InvalidInputError(PermanentError):
    """The submission itself is wrong: not a zip, a bad URL, no Python file, too large."""


class NotFoundError(PermanentError):
    """There is no such job, run or user."""


class ForbiddenError(PermanentError):
    """It exists and belongs to somebody else."""


class LimitExceededError(PermanentError):
    """The user has too many unfinished jobs, or has submitted too many today."""


class IllegalTransitionError(PermanentError):
    """A job was asked to go from one state to another that does not follow it."""


class ServiceUnavailableError(TransientError):
    """PostgreSQL, Redis or a git host cannot be reached."""


class LeaseLostError(TransientError):
    """Another replica, a cancellation or a clean-up took the job away; its result must not be written."""


class CancelledByUserError(PermanentError):
    """The job's owner or an operator asked for it to end."""


class AnalysisKilledError(TransientError):
    """The analysis child ended before it answered: out of memory, out of time, or a crash."""
