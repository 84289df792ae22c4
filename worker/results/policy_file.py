"""A gate policy that a file holds as JSON."""

import json
from pathlib import Path

from collectors.engine.collector_names import collector_names
from domain.errors import InvalidInputError
from domain.gate.policy import Policy, parse_policy
from domain.text import one_line

MAX_BYTES = 1024 * 1024


def read_policy_file(path: Path) -> Policy:
    """Read the file. Raises InvalidInputError, in one line that names the file and what is wrong in it."""
    name = one_line(str(path), 200)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInputError(f"{name} cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise InvalidInputError(f"{name} is larger than {MAX_BYTES} bytes, and so no gate policy")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidInputError(f"{name} is no JSON, as a gate policy must be") from None
    try:
        return parse_policy(document, collector_names())
    except InvalidInputError as error:
        raise InvalidInputError(f"{name}: {error}") from None
