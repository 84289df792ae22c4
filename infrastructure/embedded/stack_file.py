"""The file by which commands find the servers of a running `vibe8 up`, and the lock that `up` holds while it runs.

The lock, and not a process id, shows whether the servers are running: the kernel releases it however its holder ends.
"""

import fcntl
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

HOME_VARIABLE = "VIBE8_HOME"
_FILE = "stack.json"
_LOCK = "stack.lock"
_TOKEN_KEY = "token.key"  # nosec B105 # noqa: S105 - a file's name
_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The addresses of the two running servers, including passwords, and their process ids.

    `token_key` is the Fernet key that encrypts repository tokens for all users of these servers; empty: none.
    """

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    pids: Mapping[str, int]
    token_key: str = field(default="", repr=False)


def default_directory() -> Path:
    """Return `$VIBE8_HOME`, else `/var/lib/vibe8` for root and the user's state directory for others."""
    named = os.environ.get(HOME_VARIABLE)
    if named:
        return Path(named).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/vibe8")  # the user that PostgreSQL runs as cannot enter root's home
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "vibe8"


def running_stack(directory: Path | None = None) -> Stack | None:
    """Return the stack that is running in the directory (None: the default one), or None."""
    directory = directory or default_directory()
    if not _is_locked(directory / _LOCK):
        return None
    return read_stack(directory)


def read_stack(directory: Path) -> Stack | None:
    """Return the contents of the file, which may be stale; None if it is missing or invalid."""
    try:
        return Stack(**json.loads((directory / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_stack(directory: Path, stack: Stack) -> None:
    """Write the file atomically, readable by its owner only."""
    _write(directory / _FILE, json.dumps(asdict(stack)))


def token_key(directory: Path) -> str:
    """Return the directory's Fernet key. It is created at the first use, readable by its owner only."""
    path = directory / _TOKEN_KEY
    if not path.exists():
        from cryptography.fernet import Fernet  # noqa: PLC0415 - slow to import, and needed once only

        _write(path, Fernet.generate_key().decode())
    return path.read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def remove_stack(directory: Path) -> None:
    """Remove the file if it exists."""
    (directory / _FILE).unlink(missing_ok=True)


def acquire_lock(directory: Path) -> int | None:
    """Lock the directory and return the lock's descriptor, or None if another process holds it. Closing it unlocks."""
    lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)  # `running_stack` of another process holds it for a moment
        else:
            return lock
    os.close(lock)
    return None


def _is_locked(path: Path) -> bool:
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
