"""Push hooks of git hosts: which request is one, whether it is signed, and what it says of the repository.

GitHub signs the body with HMAC-SHA-256; GitLab sends the secret itself. Both are compared in constant time.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from domain.errors import InvalidInputError
from domain.text import JSON, printable
from domain.tracking.repository import MAX_DESCRIPTION_LENGTH, MAX_LANGUAGE_LENGTH, HostMetadata

MAX_HOOK_BYTES = 5 << 20
"""The largest body of a hook. A push of thousands of commits has less than 1 MiB: hosts list a few of them."""

GITHUB_SIGNATURE = "x-hub-signature-256"
GITHUB_EVENT = "x-github-event"
GITLAB_TOKEN = "x-gitlab-token"  # nosec B105 # noqa: S105 - the name of a header
GITLAB_EVENT = "x-gitlab-event"
GITLAB_DELIVERY = "x-gitlab-event-uuid"
_PUSH_EVENTS = frozenset({"push", "push hook"})
_MAX_COUNT = 2**31 - 1


class HookOutcome(StrEnum):
    """What became of a hook whose signature is valid."""

    CHECKING = "checking"
    """The repository is checked at once."""
    REPEATED = "repeated"
    """The same delivery was seen before."""
    IGNORED = "ignored"
    """It is no push, such as the ping that GitHub sends first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A request to the address of a repository's hook. `headers` have names in lower case."""

    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, headers: Mapping[str, str], body: bytes) -> Self:
        """Return the hook of a request. Raises InvalidInputError for a body that is too large."""
        if len(body) > MAX_HOOK_BYTES:
            raise InvalidInputError(f"the hook's body has {len(body)} bytes; at most {MAX_HOOK_BYTES} are read")
        return cls(headers={name.lower(): value for name, value in headers.items()}, body=body)

    def is_signed_with(self, secret: str) -> bool:
        """Return whether the request proves that its sender knows the secret. Takes as long for any wrong proof."""
        token, signature = self.headers.get(GITLAB_TOKEN), self.headers.get(GITHUB_SIGNATURE)
        if signature is not None:
            expected = "sha256=" + hmac.digest(secret.encode(), self.body, hashlib.sha256).hex()
            return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogateescape"))
        given = (token or "").encode("utf-8", "surrogateescape")
        return hmac.compare_digest(secret.encode(), given)

    @property
    def is_push(self) -> bool:
        """Whether commits were pushed."""
        event = self.headers.get(GITHUB_EVENT) or self.headers.get(GITLAB_EVENT) or ""
        return event.strip().lower() in _PUSH_EVENTS

    @property
    def delivery(self) -> str:
        """What identifies the delivery, in hexadecimal. GitHub's id is not signed, so the body itself identifies it.

        GitLab's token would let its holder send anything, so there the id of the event is taken too: the bodies of two
        pushes may be equal.
        """
        event = self.headers.get(GITLAB_DELIVERY, "") if GITHUB_SIGNATURE not in self.headers else ""
        return hashlib.sha256(event.encode("utf-8", "surrogateescape") + b"\0" + self.body).hexdigest()

    def host_metadata(self) -> HostMetadata:
        """Return what the body says of the repository; nothing where it is malformed."""
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            return HostMetadata()
        if not isinstance(document, dict):
            return HostMetadata()
        found = document.get("repository")
        if "project" in document:
            found = document["project"]
        return _metadata(found) if isinstance(found, dict) else HostMetadata()


def _metadata(repository: Mapping[str, JSON]) -> HostMetadata:
    return HostMetadata(
        description=_text(repository.get("description"), MAX_DESCRIPTION_LENGTH),
        language=_text(repository.get("language"), MAX_LANGUAGE_LENGTH),
        stars=_count(repository.get("stargazers_count")),
        forks=_count(repository.get("forks_count")),
        watchers=_count(repository.get("watchers_count")),
        size=_count(repository.get("size")),
    )


def _text(value: JSON, limit: int) -> str | None:
    return (printable(value[:limit]).strip() or None) if isinstance(value, str) else None


def _count(value: JSON) -> int | None:
    return value if type(value) is int and 0 <= value <= _MAX_COUNT else None
