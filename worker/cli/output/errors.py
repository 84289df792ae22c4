"""Error lines on standard error. Imports nothing slow, because `vibe8 --help` imports it."""

import sys

from domain.text import one_line

MAX_LENGTH = 2_000


def print_error(message: str) -> None:
    """Print `vibe8: MESSAGE` as one line on standard error."""
    print(f"vibe8: {one_line(message, MAX_LENGTH)}", file=sys.stderr)
