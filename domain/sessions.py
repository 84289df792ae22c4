"""Sessions of people in a browser, and the links that sign them in."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from domain.errors import InvalidKeyError
from domain.keys import Permission, RateLimit

SECRET_BYTES = 32
SECRET_LENGTH = 43
"""Characters of SECRET_BYTES as base64url without padding."""

SESSION_DAYS = 14
"""A session ends so many days after it began, used or not."""

IDLE_HOURS = 72
"""A session ends when it was not used for so long."""

LINK_MINUTES = 10
"""A link signs in within so many minutes, once."""

MAX_SESSIONS = 50
"""Sessions of a user; a new one ends the oldest beyond."""

SESSION_ENDED = "the session has ended; sign in again"
LINK_USED = "the link has been used, has expired, or is not one of ours; make a new one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Who makes a request in a browser, and what the session allows."""

    session_id: UUID
    user_id: UUID
    permissions: frozenset[Permission]
    expires_at: datetime
    rate_limit: RateLimit | None = None
    """What is left of the limit of the API key that the session was begun with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedSession:
    """A new session and its text for the cookie, which is stored nowhere: only its SHA-256 is."""

    session: Session
    text: str = field(repr=False)


def hash_secret(text: str, message: str) -> bytes:
    """Return the SHA-256 of a session's or a link's text. Raises InvalidKeyError with `message` for any other text."""
    if not isinstance(text, str) or len(text) != SECRET_LENGTH or not text.isascii():
        raise InvalidKeyError(message)
    return hashlib.sha256(text.encode()).digest()
