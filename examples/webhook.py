"""How a receiver verifies a notice. Its format is that of standardwebhooks.com, whose libraries can do this, too."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping

MAX_AGE_SECONDS = 300


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether the notice is genuine and fresh; names in `headers` are in lower case.

    `secret` is one of those that `vibe8 webhook` shows for the user whose job it is. A notice may come twice:
    remember its `webhook-id`.
    """
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    fresh = abs(time.time() - int(headers["webhook-timestamp"])) < MAX_AGE_SECONDS
    return fresh and any(hmac.compare_digest(expected, given) for given in headers["webhook-signature"].split())
