"""Runs a command on a poorer machine: without features of the kernel, as an ordinary user, or with a public python.

python -m tests.hostile.support.degraded_machine [--without CALL]... [--public-python] [--container-root] [--user
UID] -- COMMAND...

What is taken away fails as on a kernel, or in a container, that does not have it.
"""

import argparse
import ctypes
import errno
import os
import platform
import struct
import sys
from pathlib import Path

from infrastructure.sandbox.libc import prctl, unshare
from infrastructure.sandbox.privileges import CAPABILITY_COUNT, drop_capability, set_capabilities, set_no_new_privs

_ON_X86 = platform.machine() == "x86_64"
NUMBERS = {
    "landlock": ([444, 445, 446], errno.ENOSYS),
    "unshare": ([272 if _ON_X86 else 97], errno.EPERM),
    "seccomp": ([157 if _ON_X86 else 167], errno.EINVAL),
}
"""As an old kernel has it, as most containers have it, and as a kernel without filters has it."""

_SET_SECCOMP = 22

_NEWNS, _BIND, _RECURSIVE, _PRIVATE = 0x20000, 4096, 16384, 1 << 18


def take_away(numbers: list[int], code: int, option: int | None = None) -> None:
    """These system calls fail with the error from here on; with `option`, only where that is the first argument."""
    refuse, allow = (0x06, 0, 0, 0x00050000 | code), (0x06, 0, 0, 0x7FFF0000)
    only = [] if option is None else [(0x20, 0, 0, 16), (0x15, 1, 0, option), allow]
    steps = [(0x20, 0, 0, 0)]
    for number in numbers:
        steps += [(0x15, 0, 1 + len(only), number), *only, refuse]
    steps.append(allow)
    program = b"".join(struct.pack("=HBBI", *step) for step in steps)
    instructions = ctypes.create_string_buffer(program, len(program))
    whole = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", len(steps), ctypes.addressof(instructions)))
    prctl(_SET_SECCOMP, 2, ctypes.addressof(whole))


def drop_container_capabilities() -> None:
    """All but those that a container's root has by default and that matter here: no SYS_ADMIN, no SYS_PTRACE."""
    kept = (0, 1, 3, 5, 6, 7, 8)  # CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID, SETPCAP
    for capability in set(range(CAPABILITY_COUNT)) - set(kept):
        drop_capability(capability)
    set_capabilities(sum(1 << capability for capability in kept))


def make_python_public() -> None:
    """In a view of the file system of our own, open the way to the interpreter and to us, and to nothing beside."""
    ways: dict[Path, set[Path]] = {}
    for wanted in (Path(sys.executable).resolve(), Path(sys.prefix), Path(__file__).parents[3]):
        barriers = [parent for parent in wanted.parents if not parent.stat().st_mode & 0o001]
        if barriers:
            ways.setdefault(barriers[-1], set()).add(barriers[-1] / wanted.relative_to(barriers[-1]).parts[0])
    if not ways:
        return
    unshare(_NEWNS)
    _mount("none", "/", None, _RECURSIVE | _PRIVATE)
    for closed, steps in ways.items():
        held = {step: os.open(step, os.O_PATH) for step in steps}
        _mount("none", str(closed), "tmpfs", 0, "mode=755")
        for step, way in held.items():
            step.mkdir()
            _mount(f"/proc/self/fd/{way}", str(step), None, _BIND | _RECURSIVE)
            os.close(way)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    data = None if options is None else os.fsencode(options)
    if ctypes.CDLL(None, use_errno=True).mount(*words, ctypes.c_ulong(flags), data) != 0:
        raise OSError(ctypes.get_errno(), "mount", target)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--without", action="append", default=[], choices=sorted(NUMBERS))
    parser.add_argument("--container-root", action="store_true")
    parser.add_argument("--public-python", action="store_true")
    parser.add_argument("--user", type=int)
    parser.add_argument("command", nargs="+")
    wanted = parser.parse_args()
    if wanted.public_python:
        make_python_public()
    if wanted.container_root:
        drop_container_capabilities()
    if wanted.user is not None:
        os.setgroups([])
        os.setresgid(wanted.user, wanted.user, wanted.user)
        os.setresuid(wanted.user, wanted.user, wanted.user)
    set_no_new_privs()
    for name in sorted(wanted.without, key="seccomp".__eq__):  # which is needed until the last
        take_away(*NUMBERS[name], option=_SET_SECCOMP if name == "seccomp" else None)
    os.execv(wanted.command[0], wanted.command)  # noqa: S606 - no shell on purpose


if __name__ == "__main__":
    main()
