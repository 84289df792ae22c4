"""The client's reference has every name that `worker.client` offers, and no other."""

from docs.generator.client import FUNCTIONS, VALUES
from worker import client

ALIASES = {"JobResult", "Submission"}
"""Unions of values, which the page names before its values."""


def test_the_page_has_each_name_of_the_client_once() -> None:
    named = [*VALUES, *FUNCTIONS, *ALIASES, "Client"]
    assert sorted(named) == sorted(client.__all__)
