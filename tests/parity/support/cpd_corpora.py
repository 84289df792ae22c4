"""Trees on which our duplicated lines are compared with PMD's: crafted ones, random ones, installed packages.

The crafted files are written here, because git and editors would change some of their bytes.
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from tests.parity.support.comparison import PACKAGES

Files = Mapping[str, bytes]

# Code, and the number of tokens that PMD counts in it. Padded to 50 tokens it is a duplication, padded to 49 it is not.
SNIPPETS = [
    ("x", 1), ("f'x'", 2), ("rb'x'", 2), ("br'x'", 1), ("bR'x'", 1), ("Rb'x'", 2), ("ur'x'", 1), ("UR'x'", 1),
    ("ru'x'", 2), ("u'x'", 1), ("b'x'", 1), ("R'x'", 1), ("fr'x'", 2), ("f'{a[\"b\"]!r:>{c}}'", 2), ("f'{a['b']}'", 3),
    ("b'''x'''", 1), ("''", 1), ("''''''", 1), ("'' ''", 2), ("'''a'b''c'''", 1), ("''''a'''", 1), ("'a\\'b'", 1),
    ("'''\\''''''", 2), ("'a\"b' \"a'b\"", 2), ("'\\\\'", 1), ("'a\\\nb'", 1), ("'''a\nb'''", 1), ("x'y'z", 3),
    ("1_000", 2), ("0xFF", 1), ("0xFFL", 1), ("0xg", 2), ("0x", 2), ("0o17", 1), ("0o8", 2), ("0o", 1), ("017L", 1),
    ("0b101L", 1), ("0b102", 2), ("0b", 1), ("08", 2), ("0789", 2), ("0789.5", 1), ("09j", 1), ("00j", 1), ("000j", 2),
    ("7Lj", 1), ("1.5e-10j", 1), ("1.", 1), (".5", 1), ("1..a", 3), ("1.a", 2), ("1e", 2), ("1e5L", 2), ("1.5.5", 2),
    ("0or 1", 3), ("1if x", 3), ("12L", 1), ("a.5", 2), ("1.e5", 1), ("0_1", 2), ("1E+5", 1), ("1.5L", 2),
    ("->", 2), (":=", 2), ("...", 3), ("<>", 1), ("!=", 1), ("`x`", 3), ("@=", 2), ("**=", 1), ("//=", 1), (">>=", 1),
    ("<<=", 1), ("|=", 1), ("~=", 2), ("a===b", 4), ("a***b", 4), ("a>>>b", 4), ("(][)}{;,", 8), ("@x", 2), ("-1", 2),
    ("\u00e9", 1), ("\u65e5\u672c", 1), ("x$", 1), ("\u20ac", 1), ("\u00aax", 1), ("a\u00b5b", 1), ("x\u1efa", 1),
    ("a\\\nb", 2), ("a\\\r\nb", 2), ("\\\n\\\nx", 1), ("x#y z", 1), ("x # y\n\n# z", 1), ("x\x0cy\tz", 3), ("x;\ry", 3),
    ("print x", 2), ("async def f(): await g", 8), ("None", 1), ("lambda:0", 3), ("'\u2028'", 1), ("'\U0001d4b3'", 1),
]  # fmt: skip

# Code that PMD's lexer rejects; PMD then leaves out the file.
REJECTED = {
    "question": b"?",
    "bang": b"! x",
    "alone": b"\\ x",
    "astral": "\U0001d4b3 = 1".encode(),
    "combining": "a\u0301".encode(),
    "nul": b"x \x00",
    "vertical_tab": b"x\x0b",
    "no_break_space": "x =\u00a01".encode(),
    "second_bom": b"\xef\xbb\xbfx",
    "latin_1": b"x\xe4 = 1",
    "open_string": b"x = 'y\n",
    "open_docstring": b'"""x',
    "raw_backslash": b"r'\\'",
    "open_continuation": b"x \\",
    "string_over_lines": b"'x\ny'",
}


def row(prefix: str, *spans: int | tuple[int, int] | str, separator: str = "\n") -> str:
    """Return one name per line: `prefix0`, `prefix1`, ... up to a number, or a range of them; text is kept as it is."""
    words: list[str] = []
    for span in spans:
        if isinstance(span, str):
            words.append(span)
        else:
            first, last = (0, span) if isinstance(span, int) else span
            words.extend(f"{prefix}{number}" for number in range(first, last))
    return separator.join(words) + separator


def crafted() -> Files:
    """Return all crafted files. Each case has names of its own, so no case duplicates another."""
    files = dict(_snippets())
    for build in (_clones, _repetitions, _layout, _strings, _suppressed, _rejected, _order):
        files.update({name: text if isinstance(text, bytes) else text.encode() for name, text in build().items()})
    return files


def _snippets() -> Iterator[tuple[str, bytes]]:
    for number, (snippet, tokens) in enumerate(SNIPPETS):
        for missing, kind in ((0, "enough"), (1, "too_few")):
            text = row(f"s{number}_{kind}_", 50 - tokens - missing, snippet)
            for copy in "ab":
                yield f"snippets/{number:03}_{kind}_{copy}.py", text.encode()


def _clones() -> dict[str, str | bytes]:
    """Two and three equal runs, within one file and across files."""
    return {
        "clones/window_a.py": row("w", 50),
        "clones/window_b.py": row("w", "w_", 49, "w_", "w_", 50, "w_"),
        # Of three equal runs, two are equal for longer: whether that is found depends on the order.
        "clones/short_first.py": row("sf", "x", 53, "y", 60, "z", 60, "w"),
        "clones/short_second.py": row("ss", "x", 60, "y", 53, "z", 60, "w"),
        "clones/short_last.py": row("sl", "x", 60, "y", 60, "z", 53, "w"),
        "clones/five.py": row("fv", "x", 53, "y", 60, "x", 60, "w", "y", 70, "z", 70),
        "clones/same_before.py": row("sb", "x", 53, "y", 60, "x", 60, "w", "z", 70, "y", 70),
        "clones/across_1.py": row("ac", "x", 53, "y"),
        "clones/across_2.py": row("ac", 60, "z"),
        "clones/across_3.py": row("ac", "q", 60, "w"),
        # Two adjacent duplications: blank lines between them belong to neither.
        "clones/beside.py": row("be", "x", 50, "\n\n", (100, 150), "y", 50, "z", (100, 150)),
        "clones/nested.py": row("ne", "a", (0, 120), "b", (20, 80), "c", (0, 120), "d", (20, 80), "e", (30, 200)),
        "clones/whole_1.py": row("wh", 80),
        "clones/whole_2.py": row("wh", 80),
        "clones/one_line.py": row("ol", 60, "y", 60, separator=" "),
        "clones/python_2.py": "print 'x'\n" + row("p2", 60) + "exec 'y'\n" + row("p2", 60),
        "clones/functions.py": "\n\n".join(_FUNCTION.replace("NAME", name) for name in ("first", "second", "third")),
        "clones/empty.py": "",
        "clones/only_comments.py": "# a\n# b\n" * 60,
    }


_FUNCTION = '''@decorated(option=1)
def NAME(self, argument: int = 1_000, *rest, **more) -> str:
    """Say what NAME does.

    And more.
    """

    # A comment.
    if argument not in self.known and (found := self.find(argument)) is not None:
        return f"{found!r} {argument:>{self.width}}"
    values = [value @ other for value in rest if value ** 2 != 0x1F]
    return self.fail(values, message="no such " \\
        "argument", **more)
'''


def _repetitions() -> dict[str, str | bytes]:
    """Runs that overlap themselves, and runs that almost do."""
    files: dict[str, str | bytes] = {
        "repetitions/rows.py": "x = [\n" + "0,\n" * 333 + "]\n",
        "repetitions/rows_apart.py": "".join(f"y{i} = [\n" + "1,\n" * (40 + 7 * i % 60) + "]\n" for i in range(12)),
        "repetitions/ones.py": "z\n" * 200,
        "repetitions/ones_odd.py": "u\n" * 151 + "v\n" + "u\n" * 70,
        "repetitions/uneven.py": row("un", *(n for i in range(9) for n in (50 + i * i % 7, f"t{i % 2}"))),
        "repetitions/skipped_turns.py": row("st", *[25] * 5, "x", *[25] * 3, "y", *[25] * 4, 13, "z", *[25] * 2),
        "repetitions/across_1.py": "q\n" * 130,
        "repetitions/across_2.py": "r\n" + "q\n" * 90 + "r\n" + "q\n" * 60,
    }
    for period in (2, 25, 49, 50, 51, 75):
        for times in (2, 3, 4, 5):
            files[f"repetitions/{period}_times_{times}.py"] = row(f"p{period}_{times}_", "x", *[period] * times, "y")
    return files


def _layout() -> dict[str, str | bytes]:
    """The same tokens with all kinds of line breaks and gaps."""
    text = row("la", 60)
    return {
        "layout/newlines.py": text,
        "layout/crlf.py": text.replace("\n", "\r\n"),
        "layout/carriage_returns.py": text.replace("\n", "\r"),
        "layout/mixed.py": "\r\n\n\r" + text.replace("\n", "\r\r\n", 9).replace("\n", "\n\r", 20),
        "layout/bom.py": b"\xef\xbb\xbf" + text.encode(),
        "layout/form_feeds.py": text.replace("\n", " \x0c\n\x0c", 20),
        "layout/no_final_newline.py": text.strip() + " \t\x0c ",
        "layout/continued.py": text.replace("\n", " \\\n", 59),
        "layout/continued_crlf.py": text.replace("\n", "\\\r\n", 59),
        "layout/comments.py": "# before\n\n" + text.replace("\n", " # c\n\n  # d\n", 59) + "# after\n\n",
        "layout/separators.py": text.replace("\n", " # \u2028 \x85 \x0b \x00 ? !\n"),
        "layout/latin_1_cookie.py": b"# coding: latin-1\n# \xe4\n" + text.encode(),
    }


def _strings() -> dict[str, str | bytes]:
    """Tokens of more than one line, and bytes that are not UTF-8."""
    files: dict[str, str | bytes] = {
        "strings/docstring_first.py": '"""a\n\nb"""\n' + row("df", 49),
        "strings/docstring_first_too.py": 'x = 1\n"""a\n\nb"""\n' + row("df", 49, "y"),
        "strings/docstring_last.py": row("dl", 49) + "'''a\nb\n\n'''\n",
        "strings/docstring_last_too.py": row("dl", "x", 49) + "'''a\nb\n\n''' + y\n",
        "strings/other_docstring.py": row("dl", "x", 49) + "'''a\nc\n\n''' + y\n",
        "strings/continued.py": row("sc", 49) + "'a\\\nb'\n",
        "strings/continued_elsewhere.py": row("sc", 49) + "'\\\na\\\r\n\\\nb'\n",
        "strings/not_continued.py": row("sc", 49) + "'ab'\n",
        "strings/docstring_continued.py": row("sd", 49) + "'''a\\\nb'''\n",
        "strings/docstring_crlf.py": row("sd", 49) + "'''a\\\r\nb'''\n",
        "strings/docstring_not_continued.py": row("sd", 49) + "'''ab'''\n",
    }
    for number, data in enumerate((b"\xff", b"\xfe", b"\xed\xa0\x80", b"\xed\xbf", b"\xc3", b"\xf0\x9f\x98")):
        files[f"strings/one_replacement_{number}.py"] = row("b1_", 49).encode() + b"'" + data + b"'\n"
    for number, data in enumerate((b"\xff\xfe", b"\xc0\x80", b"\xe2\xff", "\ufffd\ufffd".encode())):
        files[f"strings/two_replacements_{number}.py"] = row("b2_", 49).encode() + b"'" + data + b"'\n"
    return files


def _suppressed() -> dict[str, str | bytes]:
    """PMD's comments that exclude code from the comparison."""
    return {
        "off/plain_1.py": row("of", 30, "# CPD-OFF\nnot_seen\n# CPD-ON", (30, 60)),
        "off/plain_2.py": row("of", 60),
        "off/plain_3.py": "# CPD-OFF\n" + row("of", 60),
        "off/plain_4.py": row("of", 20, "x #CPD-OFF because", (20, 40), "y #nowCPD-ONagain", (40, 60)),
        "off/twice.py": row("of", "# CPD-OFF", 5, "# CPD-OFF", 5, "# CPD-ON", 20, "# CPD-ON", (20, 60), "#CPD-OFF"),
        "off/both.py": "# CPD-ON CPD-OFF\n" + row("of", 55) + "# CPD-OFF CPD-ON\n" + row("of", 55),
        "off/in_string.py": "'# CPD-OFF'\n'''\n# CPD-OFF\n'''\n" + row("of", 60),
        "off/lower_case.py": "# cpd-off\n" + row("of", 60),
        "off/continued.py": "# CPD-OFF \\\nx\n# CPD-\\\nON\n" + row("of", 60),
        "off/unknown.py": row("of", 60) + "# CPD-OFF\n?\n# CPD-ON\n",
        "off/if_0.py": "#if 0\n" + row("of", 60) + "#endif\n",
    }


def _rejected() -> dict[str, str | bytes]:
    """Files that PMD leaves out, although their code occurs elsewhere too."""
    text = row("uk", 60).encode()
    files: dict[str, str | bytes] = {f"unknown/{name}.py": text + data for name, data in REJECTED.items()}
    files["unknown/utf_16.py"] = text.decode().encode("utf-16")
    files["unknown/sound_1.py"] = files["unknown/sound_2.py"] = text
    return files


def _order() -> dict[str, str | bytes]:
    """Equal runs in files whose order decides which of them are compared: by UTF-16 units of the path."""
    names = ("a.py", "a/b.py", "a-b.py", "a_b.py", "B.py", "\U0001d4b3.py", "\uffee.py", "\u00e9.py")
    return {f"order/{name}": row("or", f"x{i}", 50 + 13 * i % 17, f"y{i}") for i, name in enumerate(names)}


def generated(cases: int = 60, seed: int = 20) -> Files:
    """Return random, repetitive files of few names. They are equal on every Python, as only `random()` is used."""
    source = random.Random(seed)

    def below(bound: int) -> int:
        return int(source.random() * bound)

    files: dict[str, bytes] = {}
    for case in range(cases):
        rows: list[list[int]] = []
        for number in range(1 + below(3)):
            rows.append(_random_row(below, rows))
            text = "".join(f"c{case}_{token}\n" for token in rows[-1])
            files[f"{case:04}_{number}.py"] = text.encode()
    return files


def _random_row(below: Callable[[int], int], earlier: list[list[int]]) -> list[int]:
    kinds = (1, 1, 2, 2, 3, 20)[below(6)]
    tokens: list[int] = []
    for _ in range(2 + below(5)):
        choice = below(10)
        if choice < 3:
            tokens += [below(kinds) for _ in range(1 + below(80))]
        elif choice < 6:
            period = (1, 2, 3, 10, 25, 49, 50, 51, 60, 90)[below(10)]
            tokens += [below(kinds) for _ in range(period)] * (2 + below(4))
        elif choice < 7:
            tokens.append(1000 + below(1000))
        else:
            copied = (earlier or [tokens])[below(len(earlier) or 1)]
            start = below(len(copied) + 1)
            tokens += copied[start : start + 40 + below(120)]
    return tokens


def package(name: str, release: str) -> Files:
    """Return the `.py` files of an installed package in the given version."""
    assert version(name) == release
    root = PACKAGES / name
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.py")) if path.is_file()}


def digest(files: Files) -> str:
    """Return a digest of all names and contents."""
    whole = hashlib.sha256()
    for name, data in sorted(files.items()):
        whole.update(b"%d %d " % (len(name.encode()), len(data)) + name.encode() + data)
    return whole.hexdigest()


CORPORA: Mapping[str, Callable[[], Files]] = {
    "crafted": crafted,
    "generated": generated,
    "radon-6.0.1": lambda: package("radon", "6.0.1"),
    "bandit-1.9.4": lambda: package("bandit", "1.9.4"),
}
"""The corpora of the committed golden files."""

GOLDENS = Path(__file__).parents[1] / "goldens"
