"""A whole tree's tokens as one row of numbers, compared at the speed of bytes."""

from array import array

WIDTH = 4
"""Bytes of a token number."""

_STEP = 64


class Sequence:
    """Token numbers in the order of files; the first and the one behind each file stand nowhere else.

    So no window and no match crosses a file's border, and the first token of a file follows no token of another.
    """

    def __init__(self, code: "array[int]") -> None:
        self.data = code.tobytes()
        self.code = memoryview(self.data).cast("I")

    def __len__(self) -> int:
        return len(self.code)

    def digest(self, position: int, length: int) -> int:
        """A 64-bit hash of the tokens from `position` on, good for this process."""
        return hash(self.data[position * WIDTH : (position + length) * WIDTH])

    def common(self, left: int, right: int) -> int:
        """How many tokens agree from two different positions on."""
        length, step = 0, _STEP
        while self.equal(left + length, right + length, step):
            length += step
            step *= 2
        while step := step // 2:
            if self.equal(left + length, right + length, step):
                length += step
        return length

    def equal(self, left: int, right: int, length: int) -> bool:
        """Whether `length` tokens agree from two positions on, all of them before the end."""
        start, other, size = left * WIDTH, right * WIDTH, length * WIDTH
        data = self.data
        return max(start, other) + size <= len(data) and data[start : start + size] == data[other : other + size]
