"""Which Python a line needs that the running one rejects: a file in a newer syntax is not wrong, but too new.

Only the line of the error is looked at, so some newer syntax is reported as the running parser words it.
"""

import re

_LINE_LIMIT = 1_000
_DEFINITION = r"(?:(?:async\s++)?def|class)\s++\w++"
_OPERAND = r"[\[({,=:+*/%<>&|-]\s*+"
"""What a text may follow within an expression; after a name, a quote would end the string."""

_F_STRING = r".*?[fF][rR]?(?P<quote>[\"'])(?:(?!(?P=quote)).)*?"
"""The beginning of an f-string, up to one of its expressions."""

# The alternatives `(?!)`: see `collectors.cpd.lexer`.
_SYNTAX = (
    # PEP 750: template strings.
    ((3, 14), re.compile(r"(?:.*?[^\w\"'])??(?:[tT][rR]?|[rR][tT])[\"']")),
    # PEP 758: `except A, B:` without brackets. A lower-case second name is Python 2's variable.
    ((3, 14), re.compile(r"\s*+except\*?\s++[\w.]++(?:\s*+,\s*+(?:\w++\.|(?!))*+[A-Z]\w*+)+\s*+:")),
    # PEP 696: defaults of type parameters.
    ((3, 13), re.compile(rf"\s*+(?:type\s++\w++|{_DEFINITION})\s*+\[[^\]=]*+=")),
    # PEP 695: type aliases and type parameters.
    ((3, 12), re.compile(rf"\s*+(?:type\s++\w++\s*+(?:\[.*\]\s*+)?=(?!=)|{_DEFINITION}\s*+\[)")),
    # PEP 701: the quotes of an f-string within its own expressions.
    ((3, 12), re.compile(rf"{_F_STRING}\{{(?:[^{{}}\"']*?{_OPERAND}|(?!))?+[fFrRbB]{{0,2}}(?P=quote)")),
)
_F_STRING_ERRORS = ("f-string expression part cannot include",)
"""Messages of Python 3.11 about what PEP 701 allows: a backslash and a comment in an expression."""


def needed_version(error: SyntaxError, running: tuple[int, int]) -> tuple[int, int] | None:
    """Return the Python that knows the syntax of the error's line; None if no newer one is known to."""
    line = (error.text or "")[:_LINE_LIMIT]
    if running < (3, 12) and str(error.msg).startswith(_F_STRING_ERRORS):
        return (3, 12)
    return next((needed for needed, pattern in _SYNTAX if needed > running and pattern.match(line)), None)
