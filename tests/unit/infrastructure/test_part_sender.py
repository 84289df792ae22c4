"""Sending the parts of a long list beside the work that makes them."""

import socket
import threading
from collections.abc import Iterator

import pytest

from infrastructure.child_process.part_sender import QUEUED_PARTS, PartSender
from infrastructure.child_process.wire_protocol import MessageKind, receive_message, send_message

PART = [{"message": "x" * 1000}] * 500
"""Longer than the socket's buffer, so that sending it blocks until it is read."""

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_parts_arrive_in_order_and_before_what_is_sent_after_the_block(ends: Ends) -> None:
    ours, theirs = ends
    received: list[tuple[MessageKind, object]] = []

    def read() -> None:
        received.extend(receive_message(theirs) for _ in range(4 * QUEUED_PARTS + 1))

    reader = threading.Thread(target=read)
    reader.start()
    with PartSender(ours) as parts:
        for number in range(4 * QUEUED_PARTS):
            parts.send([number, PART])
    send_message(ours, MessageKind.RESULT, {"total": 1})
    reader.join()
    sent = [(MessageKind.ITEMS, [number, PART]) for number in range(4 * QUEUED_PARTS)]
    assert received == [*sent, (MessageKind.RESULT, {"total": 1})]


def test_a_part_is_made_while_the_one_before_is_not_read_yet(ends: Ends) -> None:
    ours, theirs = ends
    with PartSender(ours) as parts:
        parts.send(PART)  # nobody reads yet
        parts.send([])
        assert receive_message(theirs) == (MessageKind.ITEMS, PART)
        assert receive_message(theirs) == (MessageKind.ITEMS, [])


def test_a_part_after_a_flush_is_sent_too(ends: Ends) -> None:
    ours, theirs = ends
    with PartSender(ours) as parts:
        parts.send([1])
        parts.flush()
        assert receive_message(theirs) == (MessageKind.ITEMS, [1])
        parts.send([2])
    assert receive_message(theirs) == (MessageKind.ITEMS, [2])


def test_a_worker_that_has_closed_its_end_is_an_error_and_blocks_nothing(ends: Ends) -> None:
    ours, theirs = ends

    def send_many() -> None:
        with PartSender(ours) as parts:
            for _ in range(4 * QUEUED_PARTS):
                parts.send(PART)

    theirs.close()
    with pytest.raises(OSError, match="Broken pipe"):
        send_many()
