"""Exit codes of the command `vibe8`."""

from domain.errors import PermanentError, ServiceUnavailableError, Vibe8Error

DONE = 0
FAILED = 1
"""The job failed, or the analysis did."""

BAD_INPUT = 2
UNREACHABLE = 3
INTERRUPTED = 130
"""Ctrl-C, as every shell has it."""


class InterruptedByUserError(Vibe8Error):
    """Ctrl-C or SIGTERM ended the command; the text says what goes on without it."""


def exit_code(error: Vibe8Error) -> int:
    """The exit code of a command that ends with this error."""
    if isinstance(error, InterruptedByUserError):
        return INTERRUPTED
    if isinstance(error, ServiceUnavailableError):
        return UNREACHABLE
    return BAD_INPUT if isinstance(error, PermanentError) else FAILED
