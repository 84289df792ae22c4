"""Tokens as one row of numbers, compared at the speed of bytes."""

from array import array

TOKEN_BYTES = 8
"""Bytes of a token."""

_STEP = 64


class TokenSequence:
    """64 bits for each token, or for a border, which stands nowhere else, so that no match crosses it."""

    def __init__(self, code: "array[int]") -> None:
        self.data = code.tobytes()
        self.values = memoryview(self.data).cast("Q")

    def __len__(self) -> int:
        return len(self.values)

    def common_length(self, left: int, right: int) -> int:
        """How many tokens agree from two different positions on."""
        length, step = 0, _STEP
        while self.runs_equal(left + length, right + length, step):
            length += step
            step *= 2
        while step := step // 2:
            if self.runs_equal(left + length, right + length, step):
                length += step
        return length

    def runs_equal(self, left: int, right: int, length: int) -> bool:
        """Whether `length` tokens agree from two positions on, all of them before the end."""
        start, other, size = left * TOKEN_BYTES, right * TOKEN_BYTES, length * TOKEN_BYTES
        data = self.data
        return max(start, other) + size <= len(data) and data[start : start + size] == data[other : other + size]
