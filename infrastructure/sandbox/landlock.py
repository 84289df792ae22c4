"""Landlock: restrict file access, TCP connections and signals of this process and its descendants.

Constants and structures are those of `linux/landlock.h`. What the running kernel's ABI does not support is left out.
"""

import os
import struct
import sys
from collections.abc import Sequence
from ctypes import addressof, create_string_buffer
from typing import Self

from infrastructure.sandbox.libc import syscall

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on all architectures
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH, _RULE_NET_PORT = 1, 2
_PATH_BENEATH_ATTR, _NET_PORT_ATTR = struct.Struct("=Qi"), struct.Struct("=QQ")

TCP_ABI = 4
"""The first ABI that restricts TCP ports."""

SIGNAL_SCOPE_ABI = 6
"""The first ABI that restricts signals and abstract Unix sockets."""

# File access rights, with the kernel's names. Plain integers are fast: each child adds dozens of rules.
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
"""Everything but making devices, pipes and sockets, and executing files."""

ACCESS_DEVICE = READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV

ACCESS_FILE = ACCESS_DEVICE | EXECUTE
"""The rights that apply to anything but a directory."""

_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""The first ABI that supports a set of rights, and that set."""

_NET_BIND_TCP, _NET_CONNECT_TCP = 1, 2
_SCOPE_ABSTRACT_UNIX_SOCKET, _SCOPE_SIGNAL = 1, 2


def applicable_access(path: str, access: int) -> int:
    """Return the part of `access` that applies to this file or directory; the kernel rejects a rule with more."""
    return access if os.path.isdir(path) else access & ACCESS_FILE  # noqa: PTH112 - pathlib is slow, dozens a child


def abi_version() -> int:
    """Return the kernel's Landlock ABI version, 0 if Landlock is missing or not permitted."""
    if sys.platform != "linux":
        return 0
    try:
        return syscall(_CREATE_RULESET, 0, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


class Ruleset:
    """A Landlock ruleset. Once enforced, it denies every access that it handles and that was not allowed."""

    def __init__(self, abi: int, access: int | None = None) -> None:
        """Create a ruleset for this ABI, at least 1. Raises OSError.

        With `access` it handles these file access rights and nothing else.
        """
        supported = _RIGHTS_BY_ABI[max(known for known in _RIGHTS_BY_ABI if known <= abi)]
        self._handled_access = supported if access is None else supported & access
        self._handles_tcp = access is None and abi >= TCP_ABI
        attributes = struct.pack("=Q", self._handled_access)
        if self._handles_tcp:
            attributes += struct.pack("=Q", _NET_BIND_TCP | _NET_CONNECT_TCP)
        if access is None and abi >= SIGNAL_SCOPE_ABI:
            attributes += struct.pack("=Q", _SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL)
        buffer = create_string_buffer(attributes, len(attributes))
        self._descriptor = syscall(_CREATE_RULESET, addressof(buffer), len(attributes))

    def allow_path(self, path: str, access: int) -> None:
        """Allow this access to a file, or to a directory and all below it. A path that does not exist is ignored.

        Raises OSError, also if `path` is no directory and `access` is more than `ACCESS_FILE`.
        """
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            rule = create_string_buffer(_PATH_BENEATH_ATTR.pack(access & self._handled_access, descriptor))
            syscall(_ADD_RULE, self._descriptor, _RULE_PATH_BENEATH, addressof(rule))
        finally:
            os.close(descriptor)

    def allow_tcp_connect(self, ports: Sequence[int]) -> None:
        """Allow connections to these TCP ports. On a kernel without TCP rules all are allowed. Raises OSError."""
        if self._handles_tcp:
            for port in ports:
                rule = create_string_buffer(_NET_PORT_ATTR.pack(_NET_CONNECT_TCP, port))
                syscall(_ADD_RULE, self._descriptor, _RULE_NET_PORT, addressof(rule))

    def enforce(self) -> None:
        """Restrict this process and its descendants for ever. `no_new_privs` must be set. Raises OSError."""
        syscall(_RESTRICT_SELF, self._descriptor, 0)

    def close(self) -> None:
        """Close the ruleset; what has been enforced stays in force."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
