"""Run a command on a degraded machine: without some kernel features, as an ordinary user, or as a container's root.

    python -m tests.hostile.support.degraded_machine [--without CALL]... [--public-python] [--container-root]
        [--user UID] -- COMMAND...

A removed feature fails in the same way as on a kernel, or in a container, that does not have it.
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
"""System call numbers, and the error of an old kernel, of most containers, and of a kernel without seccomp."""

_SET_SECCOMP = 22

_NEWNS, _BIND, _RECURSIVE, _PRIVATE = 0x20000, 4096, 16384, 1 << 18


def block_system_calls(numbers: list[int], code: int, option: int | None = None) -> None:
    """Let these system calls fail with this error; with `option`, only if that is the first argument."""
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
    """Keep only those default capabilities of a container's root that matter here: no SYS_ADMIN, no SYS_PTRACE."""
    kept = (0, 1, 3, 5, 6, 7, 8)  # CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID, SETPCAP
    for capability in set(range(CAPABILITY_COUNT)) - set(kept):
        drop_capability(capability)
    set_capabilities(sum(1 << capability for capability in kept))


def make_python_public() -> None:
    """In a mount namespace, let every user traverse the directories that lead to the interpreter and to this code.

    Each closed directory is covered by an empty one that every user may traverse, with the needed entries bound in.
    """
    needed: dict[Path, set[Path]] = {}
    for path in (Path(sys.executable).resolve(), Path(sys.prefix), Path(__file__).parents[3]):
        closed = [parent for parent in path.parents if not parent.stat().st_mode & 0o001]
        if closed:
            needed.setdefault(closed[-1], set()).add(closed[-1] / path.relative_to(closed[-1]).parts[0])
    if not needed:
        return
    unshare(_NEWNS)
    _mount("none", "/", None, _RECURSIVE | _PRIVATE)
    for directory, entries in needed.items():
        descriptors = {entry: os.open(entry, os.O_PATH) for entry in entries}
        _mount("none", str(directory), "tmpfs", 0, "mode=755")
        for entry, descriptor in descriptors.items():
            entry.mkdir()
            _mount(f"/proc/self/fd/{descriptor}", str(entry), None, _BIND | _RECURSIVE)
            os.close(descriptor)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    arguments = [None if each is None else os.fsencode(each) for each in (source, target, kind)]
    data = None if options is None else os.fsencode(options)
    if ctypes.CDLL(None, use_errno=True).mount(*arguments, ctypes.c_ulong(flags), data) != 0:
        raise OSError(ctypes.get_errno(), "mount", target)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--without", action="append", default=[], choices=sorted(NUMBERS))
    parser.add_argument("--container-root", action="store_true")
    parser.add_argument(
        "--public-python", action="store_true", help="let every user read the interpreter and this code"
    )
    parser.add_argument("--user", type=int)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    if options.public_python:
        make_python_public()
    if options.container_root:
        drop_container_capabilities()
    if options.user is not None:
        os.setgroups([])
        os.setresgid(options.user, options.user, options.user)
        os.setresuid(options.user, options.user, options.user)
    set_no_new_privs()
    for name in sorted(options.without, key="seccomp".__eq__):  # last, since the others need it
        block_system_calls(*NUMBERS[name], option=_SET_SECCOMP if name == "seccomp" else None)
    os.execv(options.command[0], options.command)  # noqa: S606 - runs the command without a shell


if __name__ == "__main__":
    main()
