"""API keys: their text, what they allow, and the limit on their requests."""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from domain.errors import InvalidInputError, InvalidKeyError, PermissionDeniedError
from domain.text import JSON, one_line

MAX_KEYS = 100
"""Keys of one user, revoked and expired ones included. A new key takes the place of the oldest that is of no use."""

MAX_NAME_LENGTH = 100
DEFAULT_RATE_LIMIT = 1_000
"""Requests an hour of a key. Only an operator may allow more."""

MAX_RATE_LIMIT = 1_000_000
RATE_WINDOW_SECONDS = 3_600
PREFIX_LENGTH = 12
SECRET_BYTES = 32
KEY_LENGTH = len("v8__") + PREFIX_LENGTH + 43
_KEY = re.compile(rf"v8_([a-z0-9]{{{PREFIX_LENGTH}}})_[A-Za-z0-9_-]{{43}}", re.ASCII)
NOT_VALID = "the API key is not valid"


class Permission(StrEnum):
    """What a key allows. None includes another one. The names are stored."""

    READ = "read"
    """Read jobs, runs, reports, repositories and usage."""
    SUBMIT = "submit"
    """Submit jobs, cancel and retry them."""
    MANAGE = "manage"
    """Change and delete what the user has: runs, repositories, shared reports, keys."""
    OPERATE = "operate"
    """Act on all users' jobs and on the fleet. Only an operator can make such a key."""


USER_PERMISSIONS = frozenset(Permission) - {Permission.OPERATE}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key, without its text. `prefix` is the part of the text that is no secret."""

    key_id: UUID
    user_id: UUID
    name: str
    prefix: str
    permissions: tuple[Permission, ...]
    rate_limit: int
    """Requests an hour."""
    last_used: datetime | None
    """The time of its last use, up to a minute late."""
    expires_at: datetime | None
    is_active: bool
    """False once it is revoked."""
    created_at: datetime

    def state(self, now: datetime) -> str:
        """Return `active`, `revoked` or `expired`."""
        if not self.is_active:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"

    def to_json(self) -> dict[str, JSON]:
        """Return the key as JSON, with the names of the table's columns and without its hash."""
        return {
            "id": str(self.key_id),
            "name": self.name,
            "prefix": self.prefix,
            "permissions": [str(permission) for permission in self.permissions],
            "rate_limit": self.rate_limit,
            "last_used": _time(self.last_used),
            "expires_at": _time(self.expires_at),
            "is_active": self.is_active,
            "created_at": _time(self.created_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedKey:
    """A new key and its text, which is kept nowhere and cannot be shown again."""

    key: ApiKey
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How many requests a key may still make in its current window."""

    limit: int
    remaining: int
    reset_seconds: int
    """Seconds until the window ends."""
    window_seconds: int = RATE_WINDOW_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatedKey:
    """Who makes a request with a key, and what the key allows."""

    key_id: UUID
    user_id: UUID
    permissions: frozenset[Permission]
    rate_limit: RateLimit

    def require(self, permission: Permission) -> None:
        """Raise PermissionDeniedError if the key does not have the permission."""
        if permission not in self.permissions:
            raise PermissionDeniedError(
                f"the API key does not have the permission {permission}; make another key that has it"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """What a new key shall be."""

    name: str
    permissions: frozenset[Permission]
    rate_limit: int
    expires_at: datetime | None

    @classmethod
    def checked(
        cls,
        *,
        name: str,
        permissions: Collection[str],
        rate_limit: int,
        expires_at: datetime | None,
        now: datetime,
        by_operator: bool,
    ) -> Self:
        """Return the request. Raises InvalidInputError, and PermissionDeniedError for what operators alone may make."""
        if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME_LENGTH or not name.isprintable():
            raise InvalidInputError(f"a key's name must be 1 to {MAX_NAME_LENGTH} printable characters")
        if type(rate_limit) is not int or not 0 < rate_limit <= MAX_RATE_LIMIT:
            raise InvalidInputError(f"a key's rate limit must be 1 to {MAX_RATE_LIMIT} requests an hour")
        if expires_at is not None and (expires_at.tzinfo is None or expires_at <= now):
            raise InvalidInputError("a key must expire in the future, at a time with its time zone")
        wanted = parse_permissions(permissions)
        if not by_operator and Permission.OPERATE in wanted:
            raise PermissionDeniedError(
                "only an operator can make a key with the permission operate: `vibe8 keys create`"
            )
        if not by_operator and rate_limit > DEFAULT_RATE_LIMIT:
            raise PermissionDeniedError(
                f"only an operator can allow a key more than {DEFAULT_RATE_LIMIT} requests an hour"
            )
        return cls(name=name.strip(), permissions=wanted, rate_limit=rate_limit, expires_at=expires_at)


def parse_permissions(names: Collection[str]) -> frozenset[Permission]:
    """Return the permissions of these names, at least one. Raises InvalidInputError."""
    known = ", ".join(Permission)
    if isinstance(names, str) or not isinstance(names, Collection) or isinstance(names, Mapping) or not names:
        raise InvalidInputError(f"a key needs a list of at least one permission: {known}")
    for name in names:
        if not isinstance(name, str) or name not in set(Permission):
            raise InvalidInputError(f"there is no permission {one_line(str(name), 40)!r}; they are {known}")
    return frozenset(Permission(name) for name in names)


def make_key(prefix: str, secret: str) -> str:
    """Return a key's text: `v8_PREFIX_SECRET`. The secret is base64url and may hold `_`."""
    return f"v8_{prefix}_{secret}"


def parse_prefix(text: str) -> str:
    """Return the prefix of a key's text. Raises InvalidKeyError, at once for a text of another length."""
    found = _KEY.fullmatch(text) if isinstance(text, str) and len(text) == KEY_LENGTH else None
    if found is None:
        raise InvalidKeyError(NOT_VALID)
    return found[1]


def hash_key(text: str) -> bytes:
    """Return the SHA-256 of a key's text. A key has 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(text.encode()).digest()


def require_usable(*, is_active: bool, expired: bool) -> None:
    """Raise InvalidKeyError for a key that can no longer be used. Only who has the whole key learns why."""
    if not is_active:
        raise InvalidKeyError("the API key has been revoked; make a new one")
    if expired:
        raise InvalidKeyError("the API key has expired; make a new one")


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
