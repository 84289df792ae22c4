"""Text that is known to break programs, by kind, and checks that text is safe to show."""

import math
import re
from typing import Any

from domain.text import JSON

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
"""Characters that no row, log or terminal may get; written independently of the list in the code under test."""

FORGED = "FORGED"
TEXTS = (
    "\x00", "a\x00b", "\x01\x02\x03", "\x07beep", "\x08\x08\x08back", "\x0b\x0c", "\x7f", "\x80\x9b31mC1", "\x85next",
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b]8;;https://evil.test\x1b\\link\x1b]8;;\x1b\\", "\x1b[2J\x1b[H",
    "\x1bP+q544e\x1b\\", "\x1b[?1049h", "\r" + FORGED, "a\r\n" + FORGED, "a\n" + FORGED, "\u2028" + FORGED,
    "\u2029" + FORGED, "\u202egnp.exe", "\u2066\u2067\u2068\u2069", "\u200e\u200f\u061c", "\ufeffbom", "\ud800",
    "\udfff\ud800", "a\udc80\udcff", "\U0001f469\u200d\U0001f680", "e\u0301\u0301\u0301" * 20, "\u1e9e\u0130\u0131",
    "\ufdfa" * 10, "\U000e0041\U000e007f", "[red]markup[/red]", "[/]", "[link=https://evil.test]x[/link]", ":skull:",
    "\\[bold]", "[[[[", "%s%n%x", "{0.__class__}", "${jndi:ldap://evil.test}", "'; DROP TABLE jobs; --",
    "' OR '1'='1", "<script>alert(1)</script>", "`touch x`", "$(touch x)", "../../etc/passwd", "C:\\CON", "NaN",
    "Infinity", "-Infinity", "null", "undefined", "True", "1e400", "0x" + "f" * 400, "1" * 5000, "x" * 5000,
    "\u0e01" * 5000, " ", "\t", "\n", "", "-", "--help", "@file", "#", "\"", "'", "\\", "\\u0000", "\\ud800",
    "\u0000".join("abc"), "\U0010ffff", "\ufffe\uffff", "\u0378", "\u2060\u200b", "\u3000", "\xa0", "\u212a",
    "\uff2e\uff35\uff2c", "ﬀ", "Ⅷ",
)  # fmt: skip


def strings_in(value: JSON) -> list[str]:
    """List every key and every string of a document; fail on a number that is not finite."""
    found, waiting = [], [value]
    while waiting:
        item: Any = waiting.pop()
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, dict):
            waiting.extend((*item.keys(), *item.values()))
        elif isinstance(item, list | tuple):
            waiting.extend(item)
        else:
            assert not isinstance(item, float) or math.isfinite(item), item
    return found


def assert_harmless(value: JSON) -> None:
    """Fail if a key or string of the document has an unsafe character, or a number is not finite."""
    for text in strings_in(value):
        assert not UNSAFE.search(text), ascii(text[:200])
        text.encode()


def assert_safe_output(shown: str) -> None:
    """Fail if output for a log or a terminal has an unsafe character, or a line that the input forged."""
    assert not UNSAFE.search(shown), ascii(shown[:2000])
    assert not [
        line for line in re.split(r"[\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", shown) if line.lstrip().startswith(FORGED)
    ]
