"""Verify a webhook in its receiver. The libraries of standardwebhooks.com, whose format it is, can do this as well."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping

MAX_AGE_SECONDS = 300


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether the webhook is genuine and at most MAX_AGE_SECONDS old.

    `secret` is one of those that `vibe8 webhook` shows for the job's user. The names in `headers` are in lower case. A
    webhook may arrive twice: remember its `webhook-id`.
    """
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    fresh = abs(time.time() - int(headers["webhook-timestamp"])) < MAX_AGE_SECONDS
    return fresh and any(hmac.compare_digest(expected, given) for given in headers["webhook-signature"].split())
