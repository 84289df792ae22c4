"""A seccomp filter: which system calls a process and all that it starts may make, judged by number and plain arguments.

A filter is a program for the kernel's old packet filter; `struct seccomp_data` is its packet. What is refused fails
with an error, as if the kernel did not allow it, so that whatever can do without does.
"""

import errno
import platform
import socket
import struct
from collections.abc import Iterable
from ctypes import Structure, addressof, c_ushort, c_void_p, create_string_buffer

from infrastructure.sandbox import syscall_numbers as numbers
from infrastructure.sandbox.libc import prctl

_PR_SET_SECCOMP = 22
_MODE_FILTER = 2

_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_IF_EQUAL, _IF_GREATER, _IF_AT_LEAST = 0x15, 0x25, 0x35
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Machine to its column in `syscall_numbers` and its AUDIT_ARCH; both are little-endian."""

_X32 = 0x40000000
_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_SIGKILL = 9
_TYPED_FOR_YOU = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: they put characters into a terminal, as if its user had typed them."""

_TCP_AND_UDP = (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP)

Instruction = tuple[int, int, int, int]
"""Operation, how many to skip if true, if false, and the operand."""


def is_supported(machine: str = platform.machine()) -> bool:
    """Whether there is a filter for this kind of processor."""
    return machine in _ARCHITECTURES


def build_program(*, allow_network: bool, machine: str = platform.machine()) -> bytes:
    """Return the BPF program; `allow_network` permits TCP and UDP clients. Raises KeyError for an unknown machine."""
    column, architecture = _ARCHITECTURES[machine]
    instructions = [
        _load(_ARCHITECTURE),
        (_IF_EQUAL, 1, 0, architecture),
        _return(_KILL),
        _load(_NUMBER),
        *([(_IF_AT_LEAST, 0, 1, _X32), _refuse(errno.ENOSYS)] if machine == "x86_64" else []),
        (_IF_GREATER, 0, 1, numbers.NEWEST_KNOWN),
        _refuse(errno.ENOSYS),
    ]
    for name, body in _rules(allow_network=allow_network).items():
        number = name[column]
        if number is not None:
            instructions += [(_IF_EQUAL, 0, len(body), number), *body]
    instructions.append(_return(_ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def _rules(*, allow_network: bool) -> dict[tuple[int, int | None], list[Instruction]]:
    """Numbers to what happens at that call; each list ends in an answer."""
    never = [_refuse(errno.EPERM)]
    no_socket = [_refuse(errno.EACCES)]
    rules: dict[tuple[int, int | None], list[Instruction]] = dict.fromkeys(numbers.FORBIDDEN.values(), never)
    rules |= dict.fromkeys(numbers.SERVER_CALLS.values(), no_socket)
    if allow_network:
        rules[numbers.SOCKET] = _socket_of((socket.AF_INET, socket.AF_INET6), (1, 2), _TCP_AND_UDP)
    else:
        rules |= {numbers.SOCKET: no_socket, numbers.CONNECT: no_socket}
    # A pair of datagram sockets could send to any other datagram socket of the machine; connected streams cannot.
    rules[numbers.SOCKETPAIR] = _socket_of((socket.AF_UNIX,), (1,), (0,))
    # The libraries fall back to clone, whose flags are no pointer.
    rules[numbers.CLONE3] = [_refuse(errno.ENOSYS)]
    rules[numbers.CLONE] = [
        _load_argument(0),
        (_AND, 0, 0, _NEW_NAMESPACES),
        (_IF_EQUAL, 1, 0, 0),
        _refuse(errno.EPERM),
        _return(_ALLOW),
    ]
    # To die with one's parent may be asked for, not called off; nor does anybody hide from the guardian's count.
    rules[numbers.PRCTL] = [
        _load_argument(0),
        (_IF_EQUAL, 3, 0, _PR_SET_DUMPABLE),
        (_IF_EQUAL, 0, 3, _PR_SET_PDEATHSIG),
        _load_argument(1),
        (_IF_EQUAL, 1, 0, _SIGKILL),
        _refuse(errno.EPERM),
        _return(_ALLOW),
    ]
    # One's own limits, not those of another process of the same user.
    rules[numbers.PRLIMIT64] = [_load_argument(0), (_IF_EQUAL, 1, 0, 0), _refuse(errno.EPERM), _return(_ALLOW)]
    rules[numbers.IOCTL] = [
        _load_argument(1),
        (_IF_EQUAL, 1, 0, _TYPED_FOR_YOU[0]),
        (_IF_EQUAL, 0, 1, _TYPED_FOR_YOU[1]),
        _refuse(errno.EPERM),
        _return(_ALLOW),
    ]
    return rules


def _socket_of(families: Iterable[int], types: Iterable[int], protocols: Iterable[int]) -> list[Instruction]:
    return [
        *_argument_in(0, families),
        *_argument_in(1, types, mask=0xF),  # without SOCK_NONBLOCK and SOCK_CLOEXEC
        *_argument_in(2, protocols),
        _return(_ALLOW),
    ]


def _argument_in(index: int, values: Iterable[int], mask: int | None = None) -> list[Instruction]:
    """Go on where the argument is one of the values; refuse otherwise."""
    wanted = list(values)
    skips = [(_IF_EQUAL, len(wanted) - position, 0, value) for position, value in enumerate(wanted)]
    masked = [] if mask is None else [(_AND, 0, 0, mask)]
    return [_load_argument(index), *masked, *skips, _refuse(errno.EACCES)]


def _load(offset: int) -> Instruction:
    return (_LOAD, 0, 0, offset)


def _load_argument(index: int) -> Instruction:
    # The kernel takes an int of each of these, or knows no flag above: the upper half says nothing.
    return _load(_ARGUMENTS + 8 * index)


def _return(action: int) -> Instruction:
    return (_RETURN, 0, 0, action)


def _refuse(code: int) -> Instruction:
    return _return(_ERROR | code)


class _Program(Structure):
    _fields_ = [("length", c_ushort), ("instructions", c_void_p)]


def install(program: bytes) -> None:
    """From here on, for ever, in this process and all that it starts. `no_new_privs` must be set. Raises OSError."""
    instructions = create_string_buffer(program, len(program))
    whole = _Program(len(program) // 8, addressof(instructions))
    prctl(_PR_SET_SECCOMP, _MODE_FILTER, addressof(whole))
