"""Privileges of a process: user, capabilities, namespaces, and the `prctl` settings that limit what it can gain.

See `capabilities(7)`, `user_namespaces(7)` and `prctl(2)`.
"""

import os
import platform
import signal
import struct
import sys
from ctypes import Array, addressof, c_char, create_string_buffer
from pathlib import Path

from infrastructure.sandbox.libc import prctl, setns, syscall, unshare

CAPABILITY_COUNT = 64

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECUREBITS = 1, 4, 28
_SECBIT_NO_SETUID_FIXUP_LOCKED = 0b1100
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 24, 38, 47
_PR_CAP_AMBIENT_RAISE, _PR_CAP_AMBIENT_CLEAR_ALL = 2, 4
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_CAPGET, _CAPSET = {"x86_64": (125, 126)}.get(platform.machine(), (90, 91))
_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1 << 1, 1 << 2

_UID_RANGES = (range(0x7000_0000, 0x7FFF_FFFF), range(61_184, 65_520))
"""Uids that no user has: above all that systemd allocates; or, for a smaller uid map, those of its dynamic services."""


def allocatable_uids() -> range | None:
    """Return the uids that can be given to children; None if this process is not root or has none to give."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return None
    try:
        lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    mapped = [(int(first), int(first) + int(count)) for first, _, count in map(str.split, lines)]
    for uids in _UID_RANGES:
        if any(first <= uids.start and uids.stop <= end for first, end in mapped):
            return uids
    return None


def uid_for_directory(directory: str, uids: range) -> int:
    """Choose the uid for a scratch directory by its inode, which is unique among existing directories."""
    return uids[Path(directory).stat().st_ino % len(uids)]


def unshare_namespaces(*, user: bool, network: bool) -> None:
    """Move to a new, empty network namespace, and to a user namespace that maps the current user only.

    Raises OSError if the kernel refuses.
    """
    uid, gid = os.geteuid(), os.getegid()
    flags = (_CLONE_NEWUSER if user else 0) | (_CLONE_NEWNET if network else 0)
    if flags:
        unshare(flags)
    if user:
        prctl(_PR_SET_DUMPABLE, 1)  # the files of an undumpable process in /proc belong to root
        Path("/proc/self/setgroups").write_bytes(b"deny")
        Path("/proc/self/uid_map").write_bytes(b"%d %d 1" % (uid, uid))
        Path("/proc/self/gid_map").write_bytes(b"%d %d 1" % (gid, gid))


def unshare_network() -> int:
    """Move to a new, empty network namespace; return a descriptor of the old one. Raises OSError."""
    network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        unshare(_CLONE_NEWNET)
    except OSError:
        os.close(network)
        raise
    return network


def rejoin_network(network: int) -> None:
    """Move to the network namespace of this descriptor, which `unshare_network` returned. Raises OSError."""
    setns(network, _CLONE_NEWNET)


def drop_privileges(uid: int | None, *, keep_read_search: bool) -> None:
    """Switch to this user (None: keep the current one) and drop all capabilities. Raises OSError.

    `keep_read_search` keeps CAP_DAC_READ_SEARCH: the process can then read every file that Landlock allows. A process
    that remains root keeps the capabilities to access files that it had.
    """
    if uid is not None:
        kept = _CAP_DAC_READ_SEARCH if keep_read_search else 0
    else:
        kept = _permitted() & (_CAP_DAC_OVERRIDE | _CAP_DAC_READ_SEARCH) if os.geteuid() == 0 else 0
    for capability in range(CAPABILITY_COUNT):
        if not kept >> capability & 1 and not drop_capability(capability):
            break
    if uid is not None:
        if keep_read_search:  # else setresuid(2) would drop it, and access(2), which git calls, would ignore it
            prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP_LOCKED)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    set_capabilities(kept)
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(kept.bit_length()):
        if kept >> capability & 1:
            prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def drop_capability(capability: int) -> bool:
    """Drop it from the bounding set for ever; False if the kernel has no such capability or CAP_SETPCAP is missing."""
    try:
        prctl(_PR_CAPBSET_DROP, capability)
    except OSError:
        return False
    return True


def _permitted() -> int:
    header, sets = _capability_header(), create_string_buffer(24)
    syscall(_CAPGET, addressof(header), addressof(sets))
    _, low, _, _, high, _ = struct.unpack("=6I", sets.raw)
    return int(low | high << 32)


def set_capabilities(mask: int) -> None:
    """Set the effective, permitted and inheritable capabilities to this bit mask. Raises OSError."""
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = _capability_header()
    sets = create_string_buffer(
        struct.pack("=6I", low, low, low, high, high, high)
    )  # effective, permitted, inheritable
    syscall(_CAPSET, addressof(header), addressof(sets))


def _capability_header() -> Array[c_char]:
    return create_string_buffer(struct.pack("=Ii", _LINUX_CAPABILITY_VERSION_3, 0))


def set_no_new_privs() -> None:
    """Let no program that is executed from here on gain privileges. Raises OSError."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def set_undumpable(*, undumpable: bool = True) -> None:
    """Deny other processes of the same user to trace this one or read its memory, and the kernel to dump it."""
    if sys.platform == "linux":
        prctl(_PR_SET_DUMPABLE, int(not undumpable))


def set_parent_death_signal(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent dies; kill it now if that has happened.

    Call it again after switching to another user, which clears the setting.
    """
    if sys.platform == "linux":
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:
            os.kill(os.getpid(), signal.SIGKILL)
