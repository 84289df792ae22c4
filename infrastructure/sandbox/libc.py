"""System calls that Python has no function for, through ctypes. A pointer is passed as an address (`addressof`)."""

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.argtypes = [ctypes.c_long] * 7
_LIBC.syscall.restype = ctypes.c_long
_LIBC.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
_LIBC.unshare.argtypes = [ctypes.c_int]
_LIBC.setns.argtypes = [ctypes.c_int, ctypes.c_int]


def syscall(number: int, *arguments: int) -> int:
    """Make the system call with this number; missing arguments are 0. Raises OSError."""
    return _checked(_LIBC.syscall(number, *arguments, *[0] * (6 - len(arguments))))


def prctl(option: int, *arguments: int) -> int:
    """Call `prctl(2)`; missing arguments are 0. Raises OSError."""
    return _checked(_LIBC.prctl(option, *arguments, *[0] * (4 - len(arguments))))


def unshare(flags: int) -> None:
    """Call `unshare(2)`. Raises OSError."""
    _checked(_LIBC.unshare(flags))


def setns(descriptor: int, namespace_type: int) -> None:
    """Call `setns(2)`. Raises OSError."""
    _checked(_LIBC.setns(descriptor, namespace_type))


def set_filesystem_ids(uid: int, gid: int) -> None:
    """Call `setfsgid(2)` and `setfsuid(2)`: the ids with which this process accesses files, /proc included."""
    _LIBC.setfsgid(gid)
    _LIBC.setfsuid(uid)


def _checked(result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
