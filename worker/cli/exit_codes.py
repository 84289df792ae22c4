"""Exit codes of the command `vibe8`."""

from domain.errors import PermanentError, ServiceUnavailableError, Vibe8Error

DONE = 0
FAILED = 1
"""The job or the analysis failed."""

BAD_INPUT = 2
UNREACHABLE = 3
REJECTED = 4
"""The quality gate rejected the result; only with --gate."""

INTERRUPTED = 130
"""Ctrl-C: the exit code that shells use for it."""


class InterruptedByUserError(Vibe8Error):
    """Ctrl-C or SIGTERM ended the command. The message says what continues without it."""


def exit_code(error: Vibe8Error) -> int:
    """Return the exit code of a command that ends with this error."""
    if isinstance(error, InterruptedByUserError):
        return INTERRUPTED
    if isinstance(error, ServiceUnavailableError):
        return UNREACHABLE
    return BAD_INPUT if isinstance(error, PermanentError) else FAILED
