"""The address of the service beside `vibe8 up`: one that a browser of this machine can open."""

import pytest

from worker.cli.commands.http_beside import HttpBeside


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8808"),
        ("0.0.0.0", "http://127.0.0.1:8808"),  # noqa: S104 - compared, nothing listens
        ("::", "http://127.0.0.1:8808"),
        ("::1", "http://[::1]:8808"),
        ("box.example", "http://box.example:8808"),
    ],
)
def test_a_wildcard_address_is_reached_by_the_loopback_one(host: str, address: str) -> None:
    assert HttpBeside(host, 8808).address == address
