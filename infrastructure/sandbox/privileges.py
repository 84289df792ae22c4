"""Who a process is and what its kind may do: users, capabilities, namespaces, and what can never be had again.

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

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECUREBITS = 1, 4, 28
_NO_SETUID_FIXUP = 0b1100  # and locked
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 24, 38, 47
_PR_CAP_AMBIENT_RAISE, _PR_CAP_AMBIENT_CLEAR_ALL = 2, 4
_NEWUSER, _NEWNET = 0x10000000, 0x40000000
_CAPGET, _CAPSET = {"x86_64": (125, 126)}.get(platform.machine(), (90, 91))
_CAPABILITY_VERSION_3 = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1 << 1, 1 << 2
CAPABILITY_COUNT = 64

_USER_RANGES = (range(0x7000_0000, 0x7FFF_FFFF), range(61_184, 65_520))
"""Users that nobody has: above all that systemd hands out; in a container with fewer, those of its dynamic services."""


def allocatable_uids() -> range | None:
    """The users from which each scratch directory may get its own; None where this process has none to give."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return None
    try:
        lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    held = [(int(first), int(first) + int(count)) for first, _, count in map(str.split, lines)]
    for users in _USER_RANGES:
        if any(first <= users.start and users.stop <= end for first, end in held):
            return users
    return None


def uid_for_directory(directory: str, users: range) -> int:
    """The directory's own user: by its inode, which no other has while it stands."""
    return users[Path(directory).stat().st_ino % len(users)]


def unshare_namespaces(*, user: bool, network: bool) -> None:
    """Leave the machine's network for an empty one, and its users for a namespace in which we are only ourselves.

    Raises OSError where the kernel does not let us.
    """
    uid, gid = os.geteuid(), os.getegid()
    flags = (_NEWUSER if user else 0) | (_NEWNET if network else 0)
    if flags:
        unshare(flags)
    if user:
        prctl(_PR_SET_DUMPABLE, 1)  # or the maps would not be ours to write
        Path("/proc/self/setgroups").write_bytes(b"deny")
        Path("/proc/self/uid_map").write_bytes(b"%d %d 1" % (uid, uid))
        Path("/proc/self/gid_map").write_bytes(b"%d %d 1" % (gid, gid))


def unshare_network() -> int:
    """Leave the machine's network for an empty one; the descriptor is the way back. Raises OSError."""
    network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        unshare(_NEWNET)
    except OSError:
        os.close(network)
        raise
    return network


def rejoin_network(network: int) -> None:
    """Use the network again that `unshare_network` has left. Raises OSError."""
    setns(network, _NEWNET)


def drop_privileges(user: int | None, *, keep_read_search: bool) -> None:
    """Switch to this user (None: keep the current one) and drop all capabilities. Raises OSError.

    `keep_read_search` keeps CAP_DAC_READ_SEARCH: the process can then read every file that Landlock allows. A process
    that remains root keeps the capabilities to access files that it had.
    """
    if user is not None:
        kept = _DAC_READ_SEARCH if keep_read_search else 0
    else:
        kept = _permitted() & (_DAC_OVERRIDE | _DAC_READ_SEARCH) if os.geteuid() == 0 else 0
    for capability in range(CAPABILITY_COUNT):
        if not kept >> capability & 1 and not drop_capability(capability):
            break
    if user is not None:
        if (
            keep_read_search
        ):  # or setting the user would take it away, and access(2), which git asks, would not count it
            prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    set_capabilities(kept)
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(kept.bit_length()):
        if kept >> capability & 1:
            prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def drop_capability(capability: int) -> bool:
    """Never to have it again; False beyond the last one, and where none is ours, not even the one to lay them down."""
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


def set_capabilities(held: int) -> None:
    """Set the effective, permitted and inheritable capabilities to this bit mask. Raises OSError."""
    low, high = held & 0xFFFFFFFF, held >> 32
    header = _capability_header()
    sets = create_string_buffer(
        struct.pack("=6I", low, low, low, high, high, high)
    )  # effective, permitted, inheritable
    syscall(_CAPSET, addressof(header), addressof(sets))


def _capability_header() -> Array[c_char]:
    return create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0))


def set_no_new_privs() -> None:
    """No program that is run from here on gives new rights. Raises OSError."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def set_undumpable(hidden: bool = True) -> None:  # noqa: FBT001, FBT002 - reads as it should
    """Let no process of the same user look into this one, nor its memory be written into a core file."""
    if sys.platform == "linux":
        prctl(_PR_SET_DUMPABLE, int(not hidden))


def set_parent_death_signal(parent: int) -> None:
    """Be killed when the parent dies, and now if it has. To be asked for again by whoever becomes another user."""
    if sys.platform == "linux":
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
