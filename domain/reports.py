"""Shared reports: codes by which anyone can read the report of a run, until they expire or are withdrawn."""

import hashlib
import hmac
import ipaddress
import re
import string
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self
from uuid import UUID

from domain.errors import InvalidInputError, ReportGoneError
from domain.text import JSON

CODE_ALPHABET = string.digits + string.ascii_letters
CODE_LENGTH = 22
"""Characters of a code: 62 to the power of 22 are more than 2 to the power of 128."""

MAX_PASSWORD_BYTES = 1_024
MAX_VIEWS = 1_000_000
MAX_LISTED_REPORTS = 100

WRONG_PASSWORDS = 5
"""A report takes so many wrong passwords from one address in a window; then it refuses all of that address."""

WRONG_PASSWORDS_OF_ALL = 50
"""A report takes so many from all addresses together; then it refuses everybody's until the window ends."""

WRONG_WINDOW_SECONDS = 60

READER_HOURS = 12
"""A text that `admit` returned opens the report for so long without its password."""

NO_REPORT = "there is no such report"
"""The error for every code that shows nothing: unknown, withdrawn, or of a run that was deleted."""

_CODE = re.compile(f"[0-9A-Za-z]{{{CODE_LENGTH}}}")
_ADMISSION = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})")


def is_code(text: object) -> bool:
    """Return whether the text has the form of a code."""
    return isinstance(text, str) and len(text) == CODE_LENGTH and _CODE.fullmatch(text) is not None


def encode_password(password: str) -> bytes:
    """Return a password's bytes, which are the same however its letters were typed (NFC).

    Raises InvalidInputError for one that is empty, is no text, or has more than MAX_PASSWORD_BYTES.
    """
    if not isinstance(password, str) or not password:
        raise InvalidInputError("the password is empty; give one, or share the report without")
    if len(password) > MAX_PASSWORD_BYTES:  # before it is normalised, which takes long over a long text
        raise InvalidInputError(_too_long(len(password), "characters"))
    try:
        encoded = unicodedata.normalize("NFC", password).encode()
    except UnicodeEncodeError:
        raise InvalidInputError("the password has characters that cannot be encoded; give another") from None
    if len(encoded) > MAX_PASSWORD_BYTES:
        raise InvalidInputError(_too_long(len(encoded), "bytes"))
    return encoded


def _too_long(size: int, unit: str) -> str:
    return f"the password has {size} {unit}; give one of at most {MAX_PASSWORD_BYTES} bytes"


def guesser(address: str | None) -> str:
    """Return what stands for an address where wrong passwords are counted: itself, of IPv6 the first 64 bits.

    A network of 64 bits is the least that one subscriber has. Requests without a known address count together.
    """
    if address is None:
        return "-"
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if mapped is None else str(mapped)


def admission(code: str, password_hash: str, now: datetime) -> str:
    """Return a text that opens the report without its password for READER_HOURS.

    It is signed with the hash of the password, which has a random salt and never leaves the database.
    """
    ends = int((now + timedelta(hours=READER_HOURS)).timestamp())
    return f"{ends}.{_signature(code, password_hash, ends)}"


def admits(text: str, code: str, password_hash: str, now: datetime) -> bool:
    """Return whether the text is an `admission` to this report that has not ended."""
    found = _ADMISSION.fullmatch(text)
    if found is None:
        return False
    ends = int(found[1])
    return hmac.compare_digest(found[2], _signature(code, password_hash, ends)) and now.timestamp() < ends


def _signature(code: str, password_hash: str, ends: int) -> str:
    return hmac.new(password_hash.encode(), f"reader {code} {ends}".encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCursor:
    """The place in a list of reports, newest first, after which the next page starts."""

    created_at: datetime
    report_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedReport:
    """The code of a report, and what it allows. Times are aware and in UTC."""

    report_id: UUID
    run_id: UUID
    owner_id: UUID
    code: str
    is_public: bool
    """False once it is withdrawn."""
    has_password: bool
    expires_at: datetime | None
    max_views: int | None
    view_count: int
    last_viewed_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def cursor(self) -> ReportCursor:
        """The report's place in a list."""
        return ReportCursor(created_at=self.created_at, report_id=self.report_id)

    def state(self, now: datetime) -> str:
        """Return `open`, `withdrawn`, `expired` or `used up`."""
        if not self.is_public:
            return "withdrawn"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "used up" if self.max_views is not None and self.view_count >= self.max_views else "open"

    def require_open(self, now: datetime) -> None:
        """Raise ReportGoneError for a report that has expired, or was seen as often as it may."""
        state = self.state(now)
        if state in ("expired", "used up"):
            raise gone(state)

    def to_json(self, now: datetime) -> dict[str, JSON]:
        """Return the report as JSON, with the names of the table's columns and without the hash of its password."""
        return {
            "id": str(self.report_id),
            "run_id": str(self.run_id),
            "short_code": self.code,
            "state": self.state(now),
            "is_public": self.is_public,
            "has_password": self.has_password,
            "expires_at": _time(self.expires_at),
            "max_views": self.max_views,
            "view_count": self.view_count,
            "last_viewed_at": _time(self.last_viewed_at),
            "created_at": _time(self.created_at),
            "updated_at": _time(self.updated_at),
        }


def gone(state: str) -> ReportGoneError:
    """Return the error for a report in this state."""
    reason = "has expired" if state == "expired" else "has been seen as often as it may"
    return ReportGoneError(f"the report {reason}; ask who shared it for a new link")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRequest:
    """What a new report shall allow."""

    password: bytes | None = field(repr=False)
    expires_at: datetime | None
    max_views: int | None

    @classmethod
    def checked(
        cls, *, password: str | None, expires_at: datetime | None, max_views: int | None, now: datetime
    ) -> Self:
        """Return the request. Raises InvalidInputError."""
        if expires_at is not None and (expires_at.tzinfo is None or expires_at <= now):
            raise InvalidInputError("a report must expire in the future, at a time with its time zone")
        if max_views is not None and (type(max_views) is not int or not 0 < max_views <= MAX_VIEWS):
            raise InvalidInputError(f"a report can be seen 1 to {MAX_VIEWS} times, or without a maximum")
        encoded = None if password is None else encode_password(password)
        return cls(password=encoded, expires_at=expires_at, max_views=max_views)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
