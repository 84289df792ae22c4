"""Push hooks: proofs of their senders, and what is read of their bodies."""

import hashlib
import hmac
import json

import pytest

from domain.errors import InvalidInputError
from domain.tracking.hooks import MAX_HOOK_BYTES, Hook
from domain.tracking.repository import HostMetadata

SECRET = "It's a Secret to Everybody"


def signed(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def test_signature_of_the_example_in_github_s_documentation() -> None:
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert Hook.of({"X-Hub-Signature-256": signature}, b"Hello, World!").is_signed_with(SECRET)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": signed(b"{}", "another")},
        {"X-Hub-Signature-256": signed(b"{}").removeprefix("sha256=")},
        {"X-Hub-Signature-256": signed(b"{} ")},
        {"X-Hub-Signature-256": "sha256=\udcff"},
        {"X-Hub-Signature": "sha1=00"},
        {"X-Gitlab-Token": ""},
        {"X-Gitlab-Token": SECRET + " "},
        {"X-Gitlab-Token": "ü"},
        # A token does not stand in for a signature that is there and wrong.
        {"X-Gitlab-Token": SECRET, "X-Hub-Signature-256": "sha256=00"},
    ],
)
def test_request_without_the_right_proof_is_not_signed(headers: dict[str, str]) -> None:
    assert not Hook.of(headers, b"{}").is_signed_with(SECRET)


def test_gitlab_sends_the_token_itself() -> None:
    assert Hook.of({"x-gitlab-token": SECRET}, b"").is_signed_with(SECRET)


@pytest.mark.parametrize(
    ("headers", "is_push"),
    [
        ({"X-GitHub-Event": "push"}, True),
        ({"X-GitHub-Event": "ping"}, False),
        ({"X-Gitlab-Event": "Push Hook"}, True),
        ({"X-Gitlab-Event": "Tag Push Hook"}, False),
        ({}, False),
    ],
)
def test_only_a_push_is_one(headers: dict[str, str], is_push: bool) -> None:
    assert Hook.of(headers, b"{}").is_push is is_push


def test_ten_megabytes_are_refused() -> None:
    Hook.of({}, b" " * MAX_HOOK_BYTES)
    with pytest.raises(InvalidInputError):
        Hook.of({}, b" " * (10 << 20))


def test_the_delivery_is_what_is_signed() -> None:
    """GitHub's own id is not signed: a replay with another id is the same delivery."""
    signature = {"X-Hub-Signature-256": "x"}
    first, second = ({**signature, "X-GitHub-Delivery": each} for each in ("1", "2"))
    assert Hook.of(first, b"{}").delivery == Hook.of(second, b"{}").delivery
    assert Hook.of(first, b"{}").delivery != Hook.of(first, b"[]").delivery
    events = [{"X-Gitlab-Token": "x", "X-Gitlab-Event-UUID": each} for each in ("1", "2")]
    assert Hook.of(events[0], b"{}").delivery != Hook.of(events[1], b"{}").delivery


def test_metadata_of_github_and_gitlab() -> None:
    repository = {
        "description": "a \x00 tool", "language": "Python", "stargazers_count": 5, "forks_count": 2,
        "watchers_count": 7, "size": 100, "default_branch": "main",
    }  # fmt: skip
    assert Hook.of({}, json.dumps({"repository": repository}).encode()).host_metadata() == HostMetadata(
        description="a \\x00 tool", language="Python", stars=5, forks=2, watchers=7, size=100
    )
    project = {"description": "a library", "default_branch": "main"}
    assert Hook.of({}, json.dumps({"project": project, "repository": {}}).encode()).host_metadata() == HostMetadata(
        description="a library"
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"\xff\xfe",
        b"[]",
        b'{"repository": []}',
        b'{"repository": {"stargazers_count": -1, "forks_count": true, "size": 1e9, "language": 5}}',
        b'{"repository": {"size": 99999999999999}}',
        b"[" * 100_000,
    ],
)
def test_malformed_metadata_is_left_out(body: bytes) -> None:
    assert Hook.of({}, body).host_metadata() == HostMetadata()
