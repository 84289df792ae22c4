"""Workers whose clocks differ from the database's."""

from pathlib import Path

_CLOCK = """
import time
_real = time.time
time.time = lambda: _real() + {offset}
"""


def shifted_clock(directory: Path, name: str, offset: int) -> dict[str, str]:
    """Return the environment of a process whose clock is so many seconds ahead; `directory` keeps its start-up file."""
    path = directory / name
    path.mkdir()
    (path / "sitecustomize.py").write_text(_CLOCK.format(offset=offset))
    return {"PYTHONPATH": str(path)}
