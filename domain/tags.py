"""Tags of runs and repositories: values by category, as their owner gives them, in one normal form."""

import unicodedata
from collections.abc import Iterable, Mapping

from domain.errors import InvalidInputError
from domain.text import JSON, one_line, printable_name

MAX_CATEGORIES = 20
MAX_VALUES = 20
"""The most values of one category."""

MAX_TAG_LENGTH = 64
"""The most characters of a category and of a value, before and after they are normalised."""

SEPARATOR = "="
"""Divides category and value in the form of one line, `domain=web`."""

Tags = Mapping[str, list[str]]
"""Values by category; both are normalised, sorted and unique."""


def normalize_tags(document: JSON) -> dict[str, list[str]]:
    """Return the tags of a JSON document `{category: [value, ...]}` in their normal form.

    Names and values are normalised by NFKC, in lower case, with one space between words. Equal ones become one, and a
    category without values is left out. Raises InvalidInputError, in one line, for anything else and beyond the limits.
    """
    if not isinstance(document, Mapping):
        raise InvalidInputError('tags must be an object of lists, such as {"domain": ["web"]}')
    if len(document) > MAX_CATEGORIES:
        raise InvalidInputError(f"the tags have {len(document)} categories; give at most {MAX_CATEGORIES}")
    found: dict[str, set[str]] = {}
    for name, values in document.items():
        category = _normalize(name, "category")
        if SEPARATOR in category:
            raise InvalidInputError(f"the tag category {category!r} must not contain {SEPARATOR!r}")
        found.setdefault(category, set()).update(_values(category, values))
    for category, distinct in found.items():
        if len(distinct) > MAX_VALUES:  # different spellings of one category may have been joined
            raise InvalidInputError(_too_many_values(category, len(distinct)))
    return {category: sorted(found[category]) for category in sorted(found) if found[category]}


def parse_tags(lines: Iterable[str]) -> dict[str, list[str]]:
    """Return the tags that `category=value` lines name, in their normal form. Raises InvalidInputError."""
    document: dict[str, list[str]] = {}
    for line in lines:
        category, separator, value = line.partition(SEPARATOR)
        if not separator:
            raise InvalidInputError(f"the tag {one_line(line, 80)!r} must be category=value, such as domain=web")
        document.setdefault(category, []).append(value)
    return normalize_tags(document)


def with_tags(known: Tags, more: Tags) -> dict[str, list[str]]:
    """Return both together, in their normal form. Raises InvalidInputError beyond the limits."""
    categories = {**known, **more}
    return normalize_tags({each: sorted({*known.get(each, ()), *more.get(each, ())}) for each in categories})


def without_tags(known: Tags, fewer: Tags) -> dict[str, list[str]]:
    """Return the known tags that are not among the others, in their normal form."""
    return normalize_tags(
        {category: sorted({*values} - {*fewer.get(category, ())}) for category, values in known.items()}
    )


def tag_lines(tags: Tags) -> list[str]:
    """Return each tag as one line, `category=value`."""
    return [f"{category}{SEPARATOR}{value}" for category, values in sorted(tags.items()) for value in values]


def _values(category: str, values: JSON) -> list[str]:
    if not isinstance(values, list | tuple):
        raise InvalidInputError(f"the values of the tag category {category!r} must be a list of texts")
    if len(values) > MAX_VALUES:
        raise InvalidInputError(_too_many_values(category, len(values)))
    return [_normalize(value, "value") for value in values]


def _too_many_values(category: str, count: int) -> str:
    return f"the tag category {category!r} has {count} values; give at most {MAX_VALUES}"


def _normalize(text: JSON, what: str) -> str:
    """Return the normal form. The length is checked first too: NFKC takes long over a long text."""
    if not isinstance(text, str):
        raise InvalidInputError(f"a tag {what} must be a text")
    if len(text) > MAX_TAG_LENGTH:
        raise InvalidInputError(f"a tag {what} has {len(text)} characters; give at most {MAX_TAG_LENGTH}")
    # A letter in lower case may be composed of others: without the second NFKC the result would have two forms.
    lower = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    normal = " ".join(lower.split())
    if not normal:
        raise InvalidInputError(f"a tag {what} must not be empty")
    if printable_name(normal) != normal:
        raise InvalidInputError(f"the tag {what} {one_line(normal, 80)!r} has characters that are not shown")
    if len(normal) > MAX_TAG_LENGTH:
        raise InvalidInputError(f"a tag {what} has {len(normal)} characters as NFKC; give at most {MAX_TAG_LENGTH}")
    return normal
