"""Commits as the analyses of a history see them, and which commits they leave out."""

from collections.abc import Sequence
from typing import NamedTuple

MAX_FILES = 1_000
"""Commits that change more Python files are left out of every analysis: imports and mass reformatting."""

MAX_COUPLED_FILES = 30
"""Commits that change more Python files are left out of coupling."""

Change = tuple[str, int, bool]
"""Path that the file has at HEAD, lines that the commit added to it, and whether the commit created it."""


class Commit(NamedTuple):
    """A commit that counts: no merge, not by a bot, and of at most `MAX_FILES` files.

    `at` is the committer's date in seconds since 1970. `author` is the index of a person. `changes` are those of files
    that exist at HEAD, one a file; files that were only renamed are left out. `coupled` says whether the commit changed
    at most `MAX_COUPLED_FILES` files.
    """

    at: int
    author: int
    changes: Sequence[Change]
    coupled: bool = True
