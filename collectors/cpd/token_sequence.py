"""A sequence of tokens as 64-bit values; runs of tokens are compared as slices of bytes."""

from array import array

TOKEN_BYTES = 8
"""Bytes per token."""

_FIRST_STEP = 64


class TokenSequence:
    """One 64-bit value per token or border. Every border has a value of its own, so no match can contain one."""

    def __init__(self, values: "array[int]") -> None:
        self.data = values.tobytes()
        self.values = memoryview(self.data).cast("Q")

    def __len__(self) -> int:
        return len(self.values)

    def common_length(self, left: int, right: int) -> int:
        """Return how many tokens are equal from two different positions on."""
        length, step = 0, _FIRST_STEP
        while self.runs_equal(left + length, right + length, step):
            length += step
            step *= 2
        while step := step // 2:
            if self.runs_equal(left + length, right + length, step):
                length += step
        return length

    def runs_equal(self, left: int, right: int, length: int) -> bool:
        """Return whether both runs of `length` tokens end within the sequence and are equal."""
        start, other, size = left * TOKEN_BYTES, right * TOKEN_BYTES, length * TOKEN_BYTES
        data = self.data
        return max(start, other) + size <= len(data) and data[start : start + size] == data[other : other + size]
