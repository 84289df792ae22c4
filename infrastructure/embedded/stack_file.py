"""How a command finds the servers that a running `vibe8 up` started: a file, and a lock that `up` holds while it lives.

The lock and not a process id says whether the servers are there: it goes with its holder, whatever ends it.
"""

import fcntl
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cryptography.fernet import Fernet

HOME_VARIABLE = "VIBE8_HOME"
_FILE = "stack.json"
_LOCK = "stack.lock"
_TOKEN_KEY = "token.key"  # nosec B105 # noqa: S105 - a file's name
_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The addresses of two running servers, with their passwords, and the servers' process ids.

    `token_key` is the Fernet key under which all who use these servers keep repository tokens; empty: none.
    """

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    pids: Mapping[str, int]
    token_key: str = field(default="", repr=False)


def default_directory() -> Path:
    """`$VIBE8_HOME`; else `/var/lib/vibe8` for root and the user's own state directory for anybody else."""
    named = os.environ.get(HOME_VARIABLE)
    if named:
        return Path(named).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/vibe8")  # root's own home is closed to the user that PostgreSQL must run as
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "vibe8"


def running_stack(directory: Path | None = None) -> Stack | None:
    """The stack that is up in the directory (the default one if not named), or None."""
    place = directory or default_directory()
    if not _is_held(place / _LOCK):
        return None
    return read_stack(place)


def read_stack(directory: Path) -> Stack | None:
    """What the file says, be it stale or not; None where there is no such file or it cannot be read."""
    try:
        return Stack(**json.loads((directory / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_stack(directory: Path, stack: Stack) -> None:
    """Write the file in one step, readable by its owner only."""
    _write(directory / _FILE, json.dumps(asdict(stack)))


def token_key(directory: Path) -> str:
    """The directory's own Fernet key, made at the first use and kept for all later ones, readable by its owner only."""
    place = directory / _TOKEN_KEY
    if not place.exists():
        _write(place, Fernet.generate_key().decode())
    return place.read_text(encoding="utf-8")


def _write(place: Path, text: str) -> None:
    draft = place.with_name(f"{place.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(place)


def remove_stack(directory: Path) -> None:
    """Remove the file, if it is there."""
    (directory / _FILE).unlink(missing_ok=True)


def acquire_lock(directory: Path) -> int | None:
    """Take the directory's lock and return its descriptor (closing it lets go), or None where another has it."""
    lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)  # a reader that asks whether it is held has it for a moment
        else:
            return lock
    os.close(lock)
    return None


def _is_held(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(lock)
