"""What this machine has to confine a child with. Everything is tried out, in processes made for that."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from infrastructure.sandbox import landlock, seccomp
from infrastructure.sandbox.landlock import Ruleset
from infrastructure.sandbox.privileges import (
    allocatable_uids,
    drop_privileges,
    rejoin_network,
    set_no_new_privs,
    set_undumpable,
    uid_for_directory,
    unshare_namespaces,
    unshare_network,
)
from infrastructure.sandbox.resource_usage import children, open_files, size


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFeatures:
    """`landlock` is the version, 0 where there is none.

    `users` are those that children may be, None where the worker is not root or has none to give. As one of them a
    child may do its work `plain`; or, where for instance the interpreter lies in root's home, only with the capability
    to `search`, which is given only where Landlock then says what may be read.
    """

    landlock_abi: int = 0
    seccomp_filter: bool = False
    network_namespace: bool = False
    network_rejoin: bool = False
    """Whether a process can leave the network and come back, so that one has left it for many."""
    user_namespace: bool = False
    uid_range: range | None = None
    uid_works: bool = False
    uid_works_with_read_search: bool = False
    is_root: bool = False
    lists_descendants: bool = False
    """Whether the kernel tells which processes a process has started."""
    lists_open_files: bool = False
    """Whether it also tells which files such a process holds open, be they without a name."""

    @property
    def own_uid(self) -> bool:
        """Whether every child gets a user of its own."""
        return self.uid_range is not None and (self.uid_works or self.uid_works_with_read_search)


def probe_kernel_features(parent: Path, allowed_paths: Iterable[str]) -> KernelFeatures:
    """Try everything; `parent` is where scratch directories are made, `allowed_paths` what children must reach."""
    if sys.platform != "linux":
        return KernelFeatures()
    is_root = os.geteuid() == 0
    version = landlock.abi_version()
    has_landlock = version > 0 and _succeeds(lambda: _try_landlock(version))
    in_user_namespace = not is_root and _succeeds(lambda: _work_as_nobody_else(allowed_paths))
    users = allocatable_uids()
    plain = users is not None and _can_work(users, parent, allowed_paths, keep_read_search=False)
    search = has_landlock and users is not None and _can_work(users, parent, allowed_paths, keep_read_search=True)
    counts, sees_files = _what_is_seen(users[0] if users and (plain or search) else None, hidden=not has_landlock)
    return KernelFeatures(
        landlock_abi=version if has_landlock else 0,
        seccomp_filter=seccomp.is_supported() and _succeeds(_try_seccomp),
        network_namespace=_succeeds(lambda: unshare_namespaces(user=in_user_namespace, network=True)),
        network_rejoin=not in_user_namespace and _succeeds(lambda: rejoin_network(unshare_network())),
        user_namespace=in_user_namespace,
        uid_range=users,
        uid_works=plain,
        uid_works_with_read_search=search,
        is_root=is_root,
        lists_descendants=counts,
        lists_open_files=sees_files,
    )


def _succeeds(action: Callable[[], object]) -> bool:
    """Whether the action raises nothing, in a process that ends with it."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    _, ended = os.waitpid(pid, 0)
    return ended == 0


def _what_is_seen(user: int | None, *, hidden: bool) -> tuple[bool, bool]:
    """Of a child that is the user: whether we see that it is there, and the files that it holds open."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(ours)
            drop_privileges(user, keep_read_search=False)
            set_undumpable(hidden)
            os.write(theirs, b"+")
            signal.pause()
        finally:
            os._exit(1)
    os.close(theirs)
    os.read(ours, 1)
    os.close(ours)
    seen = pid in children(os.getpid()) and size(pid)[0] > 0, bool(open_files(pid))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return seen


def _try_landlock(version: int) -> None:
    set_no_new_privs()
    with Ruleset(version) as ruleset:
        ruleset.enforce()
    _must_fail(lambda: os.close(os.open("/", os.O_RDONLY)))


def _try_seccomp() -> None:
    set_no_new_privs()
    seccomp.install(seccomp.build_program(allow_network=False))
    _must_fail(lambda: os.close(os.memfd_create("vibe8")))
    os.getpid()


def _must_fail(action: Callable[[], object]) -> None:
    try:
        action()
    except PermissionError:
        return
    raise RuntimeError("what is forbidden was done")


def _can_work(users: range, parent: Path, allowed_paths: Iterable[str], *, keep_read_search: bool) -> bool:
    """Whether one of the users could read what every child reads, and work in a directory that is given to it."""
    try:
        directory = tempfile.mkdtemp(prefix="probe-", dir=parent)
    except OSError:
        return False
    try:
        user = uid_for_directory(directory, users)
        os.chown(directory, user, user)
        return _succeeds(lambda: _work_as(user, directory, allowed_paths, keep_read_search=keep_read_search))
    except OSError:
        return False
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _work_as(user: int, directory: str, allowed_paths: Iterable[str], *, keep_read_search: bool) -> None:
    drop_privileges(user, keep_read_search=keep_read_search)
    file = Path(directory) / "file"
    file.write_bytes(b"x")
    _reach([*allowed_paths, str(file)])
    with suppress(PermissionError):
        os.setuid(0)
        raise RuntimeError("root can be had again")


def _work_as_nobody_else(allowed_paths: Iterable[str]) -> None:
    unshare_namespaces(user=True, network=False)
    drop_privileges(None, keep_read_search=False)
    _reach(allowed_paths)


def _reach(allowed_paths: Iterable[str]) -> None:
    for place in allowed_paths:
        needed = os.R_OK | os.X_OK if Path(place).is_dir() else os.R_OK
        if not os.access(place, needed):
            raise PermissionError(place)
