"""Entries of the audit log: who did what to what, and from where."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Self
from uuid import UUID

from domain.text import JSON, one_line

MAX_AGENT_LENGTH = 400


class Action(StrEnum):
    """What was done. The names are stored."""

    SUBMIT = "submit"
    CANCEL = "cancel"
    RETRY = "retry"
    TAKE = "take"
    DELETE_RUN = "delete_run"
    DELETE_USER = "delete_user"
    DELETE_EVALUATION = "delete_evaluation"
    PIN = "pin"
    TAG_RUN = "tag_run"
    PAUSE = "pause"
    RESUME = "resume"
    DRAIN = "drain"
    CLEANUP = "cleanup"
    CREATE_KEY = "create_key"
    USE_KEY = "use_key"
    REVOKE_KEY = "revoke_key"
    SIGN_IN = "sign_in"
    SIGN_OUT = "sign_out"
    TRACK = "track"
    UNTRACK = "untrack"
    UPDATE_REPOSITORY = "update_repository"
    CHECK_REPOSITORY = "check_repository"
    FOLLOW = "follow"
    UNFOLLOW = "unfollow"
    SHARE = "share"
    UNSHARE = "unshare"
    SET_TIER = "set_tier"
    RESEND_WEBHOOK = "resend_webhook"


class Resource(StrEnum):
    """What it was done to. The names are stored."""

    JOB = "job"
    RUN = "run"
    USER = "user"
    FLEET = "fleet"
    EVALUATION = "evaluation"
    KEY = "key"
    SESSION = "session"
    REPOSITORY = "repository"
    REPORT = "report"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """From where an act came: the address and the program of the one who made the request, and whether an operator.

    `operator_id` is the user who operates, where that is known: over HTTP, not on the command line.
    """

    address: str | None = None
    user_agent: str | None = None
    operator: bool = False
    operator_id: UUID | None = None

    @classmethod
    def from_request(cls, address: str | None, user_agent: str | None, operator_id: UUID | None = None) -> Self:
        """Return the actor of a request. An address that is no IP address becomes None; a long agent is cut.

        With `operator_id`, it is an operator's.
        """
        return cls(
            address=parse_address(address),
            user_agent=_agent(user_agent),
            operator=operator_id is not None,
            operator_id=operator_id,
        )


@lru_cache(maxsize=1_024)
def parse_address(text: str | None) -> str | None:
    """Return an IPv4 or IPv6 address in its usual form, without a zone; None for anything else."""
    try:
        address = ipaddress.ip_address((text or "").strip())
    except ValueError:
        return None
    # PostgreSQL's inet has no zones.
    return str(address).partition("%")[0]


def _agent(text: str | None) -> str | None:
    return one_line(text, MAX_AGENT_LENGTH) or None if text else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCursor:
    """The place of an entry in the log, newest first."""

    created_at: datetime
    entry_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One act. `user_id` is the user in whose name it was done; an operator's act on a job has the job's owner.

    It stays when the user is deleted, without the address and the agent.
    """

    entry_id: UUID
    user_id: UUID | None
    action: str
    resource_type: str
    resource_id: str | None
    details: Mapping[str, JSON]
    address: str | None
    user_agent: str | None
    created_at: datetime

    @property
    def cursor(self) -> AuditCursor:
        """The entry's place in the log."""
        return AuditCursor(created_at=self.created_at, entry_id=self.entry_id)

    def to_json(self) -> dict[str, JSON]:
        """Return the entry as JSON, with the names of the table's columns."""
        return {
            "id": str(self.entry_id),
            "created_at": self.created_at.isoformat(),
            "user_id": None if self.user_id is None else str(self.user_id),
            "action": self.action,
            "resource_type": self.resource_type,
            "resource_id": self.resource_id,
            "details": dict(self.details),
            "ip_address": self.address,
            "user_agent": self.user_agent,
        }
