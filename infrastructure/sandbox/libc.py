"""System calls that Python has no function for, through ctypes. A pointer is given as an address; see `addressof`."""

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.argtypes = [ctypes.c_long] * 7
_LIBC.syscall.restype = ctypes.c_long
_LIBC.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
_LIBC.unshare.argtypes = [ctypes.c_int]
_LIBC.setns.argtypes = [ctypes.c_int, ctypes.c_int]


def syscall(number: int, *arguments: int) -> int:
    """Call the kernel by number; arguments that are left out are 0. Raises OSError."""
    return _checked(_LIBC.syscall(number, *arguments, *[0] * (6 - len(arguments))))


def prctl(option: int, *arguments: int) -> int:
    """`prctl(2)`; arguments that are left out are 0. Raises OSError."""
    return _checked(_LIBC.prctl(option, *arguments, *[0] * (4 - len(arguments))))


def unshare(flags: int) -> None:
    """`unshare(2)`. Raises OSError."""
    _checked(_LIBC.unshare(flags))


def setns(descriptor: int, kind: int) -> None:
    """`setns(2)`. Raises OSError."""
    _checked(_LIBC.setns(descriptor, kind))


def set_filesystem_ids(user: int, group: int) -> None:
    """`setfsuid(2)` and `setfsgid(2)`: for whom this process looks at files, and at other processes in /proc."""
    _LIBC.setfsgid(group)
    _LIBC.setfsuid(user)


def _checked(result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
