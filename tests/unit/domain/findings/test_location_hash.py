"""The inputs and hashes are those of github/codeql-action's own test (`src/fingerprints.test.ts`)."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.findings.location_hash import LocationHasher

GREETINGS = [
    "e9496ae3ebfced30:1",
    "fb7c023a8b9ccb3f:1",
    "ce8ba1a563dcdaca:1",
    "e20e36e16fcb0cc8:1",
    "b3edc88f2938467e:1",
    "c8e28b0b4002a3a0:1",
    "c129715d7a2bc9a3:1",
]
VECTORS = {
    "": ["c129715d7a2bc9a3:1"],
    " a\nb\n  \t\tc\n d": ["271789c17abda88f:1", "54703d4cd895b18:1", "180aee12dab6264:1", "a23a3dc5e078b07b:1"],
    " hello; \t\nworld!!!\n\n\n  \t\tGreetings\n End": [
        "8b7cf3e952e7aeb2:1",
        "b1ae1287ec4718d9:1",
        "bff680108adb0fcc:1",
        "c6805c5e1288b612:1",
        "b86d3392aea1be30:1",
        "e6ceba753e1a442:1",
    ],
    " hello; \t\nworld!!!\n\n\n  \t\tGreetings\n End\n": GREETINGS,
    " hello; \t\nworld!!!\r\r\r  \t\tGreetings\r End\r": GREETINGS,
    " hello; \t\r\nworld!!!\r\n\r\n\r\n  \t\tGreetings\r\n End\r\n": GREETINGS,
    " hello; \t\nworld!!!\r\n\n\r  \t\tGreetings\r End\r\n": GREETINGS,
    "Lorem ipsum dolor sit amet.\n" * 10: [
        *(f"a7f2ff13bc495cf2:{number}" for number in range(1, 7)),
        "a7f2ff1481e87703:1",
        "a9cf91f7bbf1862b:1",
        "55ec222b86bcae53:1",
        "cc97dc7b1d7d8f7b:1",
        "c129715d7a2bc9a3:1",
    ],
    "x = 2\nx = 1\nprint(x)\nx = 3\nprint(x)\nx = 4\nprint(x)\n": [
        "e54938cc54b302f1:1",
        "bb609acbe9138d60:1",
        "1131fd5871777f34:1",
        "5c482a0f8b35ea28:1",
        "54517377da7028d2:1",
        "2c644846cb18d53e:1",
        "f1b89f20de0d133:1",
        "c129715d7a2bc9a3:1",
    ],
}


@pytest.mark.parametrize(("text", "hashes"), VECTORS.items())
def test_hashes_are_those_of_githubs_action(text: str, hashes: list[str]) -> None:
    hasher = LocationHasher(text.encode())
    assert [hasher.at(line) for line in range(1, len(hashes) + 1)] == hashes
    assert hasher.at(0) is hasher.at(len(hashes) + 1) is None
    last_first = LocationHasher(text.encode())
    assert [last_first.at(line) for line in range(len(hashes), 0, -1)] == hashes[::-1]


def rolling_hashes(text: str) -> list[str]:
    """Return the hash of each line as the action computes it: unit by unit, with a window that moves along."""
    units = [*memoryview(text.encode("utf-16-le")).cast("H"), 65535, *[0] * 100]
    kept, starts, after_return = [], [0], False
    for unit in units:
        if unit in (32, 9) or (after_return and unit == 10):
            after_return = False
            continue
        after_return = unit == 13
        kept.append(10 if unit == 13 else unit)
        if kept[-1] == 10:
            starts.append(len(kept))
    seen: dict[int, int] = {}
    hashes = []
    for start in starts:
        value = 0
        for unit in kept[start : start + 100]:
            value = (value * 37 + unit) % 2**64
        seen[value] = seen.get(value, 0) + 1
        hashes.append(f"{value:x}:{seen[value]}")
    return hashes


PIECES = st.lists(
    st.sampled_from(["\r", "\n", "\r\n", " ", "\t", "a", "x = 1", "\ufeff", "é", "😀" * 60, "\uffff" * 101, "y" * 99])
)


@given(PIECES.map("".join))
def test_hashes_equal_those_of_a_rolling_computation(text: str) -> None:
    hashes = rolling_hashes(text)
    hasher = LocationHasher(text.encode())
    assert [hasher.at(line) for line in range(1, len(hashes) + 1)] == hashes
    assert len(hashes) == len(re.split(r"\r\n|\r|\n", text))


def test_invalid_bytes_become_replacement_characters() -> None:
    assert LocationHasher(b"\xff = 1\n").at(1) == rolling_hashes("\ufffd = 1\n")[0]


def test_a_line_has_the_same_hash_whichever_lines_were_asked_for_before() -> None:
    """The first lines that are asked for are searched; a table of all lines serves the others."""
    text = "".join(f"x = {number % 3}\n" if number % 5 else "\n" for number in range(400))
    hashes = rolling_hashes(text)
    for first in (1, 200, 399):
        hasher = LocationHasher(text.encode())
        order = [*range(first, len(hashes) + 1), *range(1, first)]
        assert [hasher.at(line) for line in order] == [hashes[line - 1] for line in order]


@pytest.mark.parametrize("order", ["ascending", "descending", "any"])
def test_a_hash_does_not_depend_on_which_lines_were_asked_for_before(order: str) -> None:
    data = b"".join(b"%dx = %d\n" % (number % 3, number // 7) + b"pass\n" * (number % 4) for number in range(60))
    lines = list(range(data.count(b"\n") + 3))
    if order == "descending":
        lines.reverse()
    elif order == "any":
        random.Random(3).shuffle(lines)
    hasher = LocationHasher(data)
    assert [hasher.at(line) for line in lines] == [LocationHasher(data).at(line) for line in lines]
