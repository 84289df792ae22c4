"""A seccomp filter: which system calls a process and its descendants may make, by number and integer arguments.

A filter is a program in classic BPF, and its packet is `struct seccomp_data`. A denied call fails with an error, as if
the kernel did not permit it, so that a program that can do without the call does.
"""

import errno
import mmap
import platform
import socket
import struct
from collections.abc import Iterable, Sequence
from ctypes import Structure, addressof, c_ushort, c_void_p, create_string_buffer

from infrastructure.sandbox import syscall_numbers as numbers
from infrastructure.sandbox.libc import prctl

_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2

_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_JUMP_IF_EQUAL, _JUMP_IF_GREATER, _JUMP_IF_AT_LEAST = 0x15, 0x25, 0x35
_RET_ALLOW, _RET_KILL_PROCESS, _RET_ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_OFFSET, _ARCH_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Machine to its column in `syscall_numbers` and its AUDIT_ARCH; both are little-endian."""

_X32_SYSCALL_BIT = 0x40000000
_NAMESPACE_FLAGS = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_SIGKILL = 9
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
"""They put characters into a terminal's input, as if its user had typed them."""

_MAP_SHARED_ANONYMOUS = 0x01 | 0x20
"""MAP_SHARED_VALIDATE has the bit of MAP_SHARED as well."""

_MADV_COLD, _MADV_PAGEOUT = 20, 21
"""They move memory to the swap space, where it does not count as resident."""

_SOCK_TYPE_MASK = 0xF
"""Leaves out SOCK_NONBLOCK and SOCK_CLOEXEC."""

_FS_IOC_SETFLAGS, _FS_IOC_FSSETXATTR = 0x40086602, 0x401C5820
"""They change the attributes of a file that is only open for reading, such as its project, for which quotas count."""

_TCP_AND_UDP = (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP)

Instruction = tuple[int, int, int, int]
"""Opcode, number of instructions to skip if true and if false, and the operand."""


def is_supported(machine: str = platform.machine()) -> bool:
    """Whether there is a filter for this processor architecture."""
    return machine in _ARCHITECTURES


def build_program(*, allow_network: bool, machine: str = platform.machine()) -> bytes:
    """Return the BPF program; `allow_network` permits TCP and UDP clients. Raises KeyError for an unknown machine."""
    column, architecture = _ARCHITECTURES[machine]
    instructions = [
        _load(_ARCH_OFFSET),
        (_JUMP_IF_EQUAL, 1, 0, architecture),
        _return(_RET_KILL_PROCESS),
        _load(_NUMBER_OFFSET),
        *([(_JUMP_IF_AT_LEAST, 0, 1, _X32_SYSCALL_BIT), _deny(errno.ENOSYS)] if machine == "x86_64" else []),
        (_JUMP_IF_GREATER, 0, 1, numbers.NEWEST_KNOWN),
        _deny(errno.ENOSYS),
    ]
    for syscall, rule in _rules(allow_network=allow_network).items():
        number = syscall[column]
        if number is not None:
            instructions += [(_JUMP_IF_EQUAL, 0, len(rule), number), *rule]
    instructions.append(_return(_RET_ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def _rules(*, allow_network: bool) -> dict[tuple[int, int | None], list[Instruction]]:
    """Map system call numbers to the instructions for that call, the last of which returns."""
    deny_always = [_deny(errno.EPERM)]
    deny_socket = [_deny(errno.EACCES)]
    pretend_success = [_deny(0)]
    rules: dict[tuple[int, int | None], list[Instruction]] = dict.fromkeys(numbers.FORBIDDEN.values(), deny_always)
    # git fails where it cannot set the mode of a file that it has created with this mode, so success is reported.
    rules |= dict.fromkeys(numbers.CHMOD_CALLS.values(), pretend_success)
    rules |= dict.fromkeys(numbers.SERVER_CALLS.values(), deny_socket)
    if allow_network:
        rules[numbers.SOCKET] = _allow_sockets((socket.AF_INET, socket.AF_INET6), (1, 2), _TCP_AND_UDP)
    else:
        rules |= {numbers.SOCKET: deny_socket, numbers.CONNECT: deny_socket}
    # No limit counts what is in the buffers of sockets. Those of pipes are limited for each user by the kernel.
    rules[numbers.SOCKETPAIR] = deny_socket
    rules[numbers.MMAP] = _mmap_rule()
    rules[numbers.MADVISE] = _deny_values(2, (_MADV_COLD, _MADV_PAGEOUT))
    # libc falls back from clone3, whose flags are behind a pointer, to clone, whose flags are an argument.
    rules[numbers.CLONE3] = [_deny(errno.ENOSYS)]
    rules[numbers.CLONE] = _deny_flags(0, _NAMESPACE_FLAGS)
    rules[numbers.PRCTL] = _prctl_rule()
    # A process may set its own limits, but not those of another process of the same user.
    rules[numbers.PRLIMIT64] = [
        _load_argument(0),
        (_JUMP_IF_EQUAL, 1, 0, 0),
        _deny(errno.EPERM),
        _return(_RET_ALLOW),
    ]
    rules[numbers.IOCTL] = _deny_values(1, (_TIOCSTI, _TIOCLINUX, _FS_IOC_SETFLAGS, _FS_IOC_FSSETXATTR))
    return rules


def _mmap_rule() -> list[Instruction]:
    """Let anonymous memory be shared by the page only, as the pool's markers are.

    Larger pieces could be filled and then unmapped but for a page: they would exist, and count for no process.
    """
    return [
        _load_argument(3),
        (_AND, 0, 0, _MAP_SHARED_ANONYMOUS),
        (_JUMP_IF_EQUAL, 0, 5, _MAP_SHARED_ANONYMOUS),
        _load_argument(1, upper_half=True),
        (_JUMP_IF_EQUAL, 0, 2, 0),
        _load_argument(1),
        (_JUMP_IF_GREATER, 0, 1, mmap.PAGESIZE),
        _deny(errno.EPERM),
        _return(_RET_ALLOW),
    ]


def _prctl_rule() -> list[Instruction]:
    """Keep the process dumpable, so that its open files are counted, and its parent death signal set to SIGKILL."""
    return [
        _load_argument(0),
        (_JUMP_IF_EQUAL, 3, 0, _PR_SET_DUMPABLE),
        (_JUMP_IF_EQUAL, 0, 3, _PR_SET_PDEATHSIG),
        _load_argument(1),
        (_JUMP_IF_EQUAL, 1, 0, _SIGKILL),
        _deny(errno.EPERM),
        _return(_RET_ALLOW),
    ]


def _deny_values(index: int, values: Sequence[int]) -> list[Instruction]:
    """Deny the call if the argument is one of these values."""
    jumps = [(_JUMP_IF_EQUAL, len(values) - position, 0, value) for position, value in enumerate(values)]
    return [_load_argument(index), *jumps, _return(_RET_ALLOW), _deny(errno.EPERM)]


def _deny_flags(index: int, flags: int) -> list[Instruction]:
    """Deny the call if the argument has one of these flags."""
    return [
        _load_argument(index),
        (_AND, 0, 0, flags),
        (_JUMP_IF_EQUAL, 1, 0, 0),
        _deny(errno.EPERM),
        _return(_RET_ALLOW),
    ]


def _allow_sockets(families: Iterable[int], types: Iterable[int], protocols: Iterable[int]) -> list[Instruction]:
    return [
        *_require_argument(0, families),
        *_require_argument(1, types, mask=_SOCK_TYPE_MASK),
        *_require_argument(2, protocols),
        _return(_RET_ALLOW),
    ]


def _require_argument(index: int, values: Iterable[int], mask: int | None = None) -> list[Instruction]:
    """Deny the call unless the argument, masked, is one of the values; otherwise continue after these instructions."""
    allowed = list(values)
    jumps = [(_JUMP_IF_EQUAL, len(allowed) - position, 0, value) for position, value in enumerate(allowed)]
    masked = [] if mask is None else [(_AND, 0, 0, mask)]
    return [_load_argument(index), *masked, *jumps, _deny(errno.EACCES)]


def _load(offset: int) -> Instruction:
    return (_LOAD, 0, 0, offset)


def _load_argument(index: int, *, upper_half: bool = False) -> Instruction:
    # The lower half is enough where the kernel reads an int, or knows no flag in the upper half.
    return _load(_ARGUMENTS_OFFSET + 8 * index + 4 * upper_half)


def _return(action: int) -> Instruction:
    return (_RETURN, 0, 0, action)


def _deny(error: int) -> Instruction:
    return _return(_RET_ERRNO | error)


class _SockFprog(Structure):
    _fields_ = [("length", c_ushort), ("filter", c_void_p)]


def install(program: bytes) -> None:
    """Filter this process and its descendants for ever. `no_new_privs` must be set. Raises OSError."""
    instructions = create_string_buffer(program, len(program))
    sock_fprog = _SockFprog(len(program) // 8, addressof(instructions))
    prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, addressof(sock_fprog))
