"""Declared authors, and what an evaluation accepts of them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from domain.errors import InvalidInputError
from domain.text import one_line, printable

MAX_PROJECTS = 1_000
MAX_AUTHORS = 10
"""The most authors: 10 have 45 pairs, each of which is compared by every measure."""

MAX_SOURCE_LENGTH = 2_000
MAX_WORD_LENGTH = 100
"""Characters of a model's and of a task's name."""

MAX_NAME_LENGTH = 200
MAX_DESCRIPTION_LENGTH = 2_000

HUMAN = "human"

_FORMULA = re.compile(r"[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""What a spreadsheet takes for the beginning of a formula."""


class AuthorType(StrEnum):
    """Who wrote a project, as its submitter says."""

    HUMAN = "human"
    AI = "ai"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Author:
    """A declared author: people, who are one group and have no names here, or a model."""

    author_type: str
    author_model: str

    @property
    def label(self) -> str:
        """The group's name: `human`, or the model."""
        return HUMAN if self.author_type == AuthorType.HUMAN else self.author_model

    @classmethod
    def declared(cls, author_type: str, author_model: str) -> Self:
        """Return the author. A person's name is not kept. Raises InvalidInputError."""
        if author_type not in tuple(AuthorType):
            raise InvalidInputError(f"author_type must be 'human' or 'ai', not {one_line(author_type, 40)!r}")
        if author_type == AuthorType.HUMAN:
            return cls(author_type=author_type, author_model="")
        if not author_model:
            raise InvalidInputError("a project by 'ai' needs the name of its model in author_model")
        if author_model.lower() == HUMAN:
            raise InvalidInputError("author_model 'human' would read as people; name the model")
        return cls(author_type=author_type, author_model=checked_text("author_model", author_model, MAX_WORD_LENGTH))


def checked_text(what: str, value: str, limit: int, *, formulas: bool = False) -> str:
    """Return a text of one line. Raises InvalidInputError; without `formulas` also for what a spreadsheet would run."""
    if len(value) > limit:
        raise InvalidInputError(f"{what} has {len(value)} characters; it may have {limit}")
    if not value.isprintable() or printable(value) != value:
        raise InvalidInputError(f"{what} {one_line(value, 40)!r} must be one line of printable characters")
    if not formulas and _FORMULA.match(value):
        raise InvalidInputError(
            f"{what} {one_line(value, 40)!r} begins as a formula of a spreadsheet does; begin it with a letter or digit"
        )
    return value


def check_authors(authors: Iterable[Author]) -> Sequence[Author]:
    """Return the different authors, people first. Raises InvalidInputError where there is nothing to compare."""
    listed = list(authors)
    if len(listed) > MAX_PROJECTS:
        raise InvalidInputError(f"{len(listed)} projects are more than {MAX_PROJECTS}, the most of an evaluation")
    different = sorted(set(listed), key=lambda author: (author.author_type != AuthorType.HUMAN, author.label))
    if not different:
        raise InvalidInputError("there is no project to evaluate")
    if len(different) == 1:
        raise InvalidInputError(
            f"it names no author but {different[0].label!r}; an evaluation compares at least two authors"
        )
    if len(different) > MAX_AUTHORS:
        raise InvalidInputError(f"{len(different)} authors are more than {MAX_AUTHORS}, the most of an evaluation")
    return different
