"""The tasks of a shared child, which obey each upload: its first line names what code that has taken over would do.

`fetch_each` and `collect_each` are those of the program; an attack happens when its upload's turn comes.
"""

import base64
import ctypes
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from worker.analysis.shared_child import tasks

Report = Callable[[Mapping[str, Any]], None]
FALSE = "x = 1\n"


def fetch_each(request: Mapping[str, Any], report: Report) -> Mapping[str, Any]:
    fetched = tasks.fetch_each(request, report)
    for number, source in enumerate(request["sources"]):
        attack = _attack_of(base64.b64decode(source["file_data"]).decode())
        if attack in WHEN_FETCHING:
            WHEN_FETCHING[attack](Path(request["scratch"]), number)
    return fetched


def collect_each(request: Mapping[str, Any], report: Report) -> Mapping[str, Any]:
    scratch = Path(request["scratch"])
    attacks = {number: _attack_of(_file(directory).read_text()) for number, directory in _directories(scratch)}
    for number, attack in attacks.items():
        if attack in WHEN_COLLECTING:
            WHEN_COLLECTING[attack](scratch, number)
    collected = tasks.collect_each(request, report)
    if "falsify" in attacks.values():
        for document in collected["uploads"]:
            document["metrics"]["security"] = {**document["metrics"]["security"], "high": 0}
    if "answer_junk" in attacks.values():
        return {"uploads": ["junk", 7, None]}
    if "answer_too_few" in attacks.values():
        return {"uploads": collected["uploads"][1:]}
    return collected


def _attack_of(text: str) -> str:
    first = text.partition("\n")[0]
    return first.removeprefix("# attack: ")


def _directories(scratch: Path) -> list[tuple[int, Path]]:
    return [(int(path.name), path) for path in sorted(scratch.iterdir()) if (path / "tree").is_dir()]


def _file(directory: Path) -> Path:
    return next((directory / "tree").iterdir())


def _die(_: Path, __: int) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)


def _be_killed(_: Path, __: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def _hang(_: Path, __: int) -> None:
    time.sleep(3600)


def _exit_early(_: Path, __: int) -> NoReturn:
    os._exit(0)


def _fill_disk(scratch: Path, number: int) -> None:
    for part in range(4):
        (scratch / str(number) / f"large{part}").write_bytes(os.urandom(16 << 20))
    time.sleep(60)


def _fill_memory(_: Path, __: int) -> None:
    ctypes.create_string_buffer(3 << 30)


def _start_processes(_: Path, __: int) -> None:
    for _number in range(100):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
    time.sleep(60)


def _overwrite_neighbours(scratch: Path, number: int) -> None:
    for other, directory in _directories(scratch):
        if other != number:
            _file(directory).write_text(FALSE)


def _overwrite_when_collecting(scratch: Path, number: int) -> None:
    try:
        _overwrite_neighbours(scratch, number)
    except OSError:
        return


WHEN_FETCHING: Mapping[str, Callable[[Path, int], None]] = {
    "fill_disk": _fill_disk,
    "start_processes": _start_processes,
    "overwrite_neighbours": _overwrite_neighbours,
}
WHEN_COLLECTING: Mapping[str, Callable[[Path, int], None]] = {
    "die": _die,
    "be_killed": _be_killed,
    "hang": _hang,
    "exit_early": _exit_early,
    "fill_memory": _fill_memory,
    "overwrite_when_collecting": _overwrite_when_collecting,
}
