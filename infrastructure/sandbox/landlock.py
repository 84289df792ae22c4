"""Landlock: which files a process and all that it starts may touch, which TCP ports, and whom it may signal.

Constants and structures: `linux/landlock.h`. What the running kernel's version does not know is left out.
"""

import os
import struct
import sys
from collections.abc import Sequence
from ctypes import addressof, create_string_buffer
from typing import Self

from infrastructure.sandbox.libc import syscall

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # alike on all architectures
_ASK_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2
_PATH_RULE, _PORT_RULE = struct.Struct("=Qi"), struct.Struct("=QQ")

TCP_ABI = 4
SIGNAL_SCOPE_ABI = 6


# Rights on files; the names are the kernel's. Plain integers, since each child adds some dozens of rules.
EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
REMOVE_DIR = 1 << 4
REMOVE_FILE = 1 << 5
MAKE_CHAR = 1 << 6
MAKE_DIR = 1 << 7
MAKE_REG = 1 << 8
MAKE_SOCK = 1 << 9
MAKE_FIFO = 1 << 10
MAKE_BLOCK = 1 << 11
MAKE_SYM = 1 << 12
REFER = 1 << 13
TRUNCATE = 1 << 14
IOCTL_DEV = 1 << 15


ACCESS_READ = READ_FILE | READ_DIR
ACCESS_EXECUTE = ACCESS_READ | EXECUTE
ACCESS_MODIFY = WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM | REFER | TRUNCATE
ACCESS_READ_WRITE = ACCESS_READ | ACCESS_MODIFY
"""To work in a directory: no device, pipe or socket is made there, and nothing in it is run."""

ACCESS_DEVICE = READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV

ACCESS_FILE = ACCESS_DEVICE | EXECUTE
"""What there is to allow on anything but a directory."""
_SINCE = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP_BIND, _TCP_CONNECT = 1, 2
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1, 2


def applicable_access(path: str, access: int) -> int:
    """As much of the access as there is to such a file or directory."""
    return access if os.path.isdir(path) else access & ACCESS_FILE  # noqa: PTH112 - a string, some dozens a child


def abi_version() -> int:
    """The kernel's Landlock version, 0 where there is none or it may not be used."""
    if sys.platform != "linux":
        return 0
    try:
        return syscall(_CREATE_RULESET, 0, 0, _ASK_VERSION)
    except OSError:
        return 0


class Ruleset:
    """Everything is forbidden but what was allowed, once it is enforced."""

    def __init__(self, version: int, access: int | None = None) -> None:
        """Make one for this version, at least 1. Raises OSError.

        With `access` it is about these uses of files and nothing else.
        """
        every = _SINCE[max(known for known in _SINCE if known <= version)]
        self._files = every if access is None else every & access
        self._knows_tcp = access is None and version >= TCP_ABI
        attributes = struct.pack("=Q", self._files)
        if self._knows_tcp:
            attributes += struct.pack("=Q", _TCP_BIND | _TCP_CONNECT)
        if access is None and version >= SIGNAL_SCOPE_ABI:
            attributes += struct.pack("=Q", _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS)
        buffer = create_string_buffer(attributes, len(attributes))
        self._descriptor = syscall(_CREATE_RULESET, addressof(buffer), len(attributes))

    def allow_path(self, path: str, access: int) -> None:
        """Allow this on a file, or on a directory and all below it; what is not there needs no permission.

        Raises OSError, also where `access` to what is no directory is more than `ACCESS_FILE`.
        """
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            rule = create_string_buffer(_PATH_RULE.pack(access & self._files, place))
            syscall(_ADD_RULE, self._descriptor, _PATH_BENEATH, addressof(rule))
        finally:
            os.close(place)

    def allow_tcp_connect(self, ports: Sequence[int]) -> None:
        """Allow to connect to these TCP ports; where the kernel knows of no ports, all are allowed. Raises OSError."""
        if self._knows_tcp:
            for port in ports:
                rule = create_string_buffer(_PORT_RULE.pack(_TCP_CONNECT, port))
                syscall(_ADD_RULE, self._descriptor, _NET_PORT, addressof(rule))

    def enforce(self) -> None:
        """From here on, for ever. `no_new_privs` must be set. Raises OSError."""
        syscall(_RESTRICT_SELF, self._descriptor, 0)

    def close(self) -> None:
        """Forget the ruleset; what it enforces stays."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
