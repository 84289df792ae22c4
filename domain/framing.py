"""Frames for messages between processes: a 4-byte length (big-endian), a 1-byte kind, and a payload of that length.

These functions only convert bytes; the callers read and write the sockets.
"""

import struct

HEADER = struct.Struct(">IB")
"""Payload length and kind."""


def encode_frame(payload: bytes, kind: int = 0) -> bytes:
    """Return the payload with its header in front."""
    return HEADER.pack(len(payload), kind) + payload


def take_frames(buffer: bytearray) -> list[tuple[int, bytes]]:
    """Remove all complete frames from the front of the buffer; return their kinds and payloads."""
    frames, offset = [], 0
    while len(buffer) - offset >= HEADER.size:
        length, kind = HEADER.unpack_from(buffer, offset)
        end = offset + HEADER.size + length
        if len(buffer) < end:
            break
        frames.append((kind, bytes(memoryview(buffer)[offset + HEADER.size : end])))
        offset = end
    del buffer[:offset]
    return frames
