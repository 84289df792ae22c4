"""Kernel features that a sandbox can use on this machine. Each is tried out in a process forked for that."""

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
from infrastructure.sandbox.resource_usage import child_pids, open_files, threads_and_pages


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFeatures:
    """What the kernel, the container and the worker's privileges permit."""

    landlock_abi: int = 0
    """0 if there is no Landlock."""
    seccomp_filter: bool = False
    network_namespace: bool = False
    network_rejoin: bool = False
    """Whether a process can leave the network and rejoin it: a supervisor then leaves it once for all its children."""
    user_namespace: bool = False
    uid_range: range | None = None
    """Uids to give to children; None if the worker is not root or has none to give."""
    uid_works: bool = False
    """Whether a child can do its work as one of these uids without any capability."""
    uid_works_with_read_search: bool = False
    """Whether it can with CAP_DAC_READ_SEARCH: needed if, for instance, the interpreter lies in root's home.

    False without Landlock, which must limit what that capability opens.
    """
    is_root: bool = False
    lists_descendants: bool = False
    """Whether /proc lists the children of a process."""
    lists_open_files: bool = False
    """Whether /proc lists the open files of a child, including deleted ones."""

    @property
    def own_uid(self) -> bool:
        """Whether every child gets a uid of its own."""
        return self.uid_range is not None and (self.uid_works or self.uid_works_with_read_search)


def probe_kernel_features(scratch_parent: Path, allowed_paths: Iterable[str]) -> KernelFeatures:
    """Try out every feature.

    `scratch_parent` is where scratch directories are made; `allowed_paths` are what every child must be able to read.
    """
    if sys.platform != "linux":
        return KernelFeatures()
    is_root = os.geteuid() == 0
    abi = landlock.abi_version()
    has_landlock = abi > 0 and _succeeds(lambda: _try_landlock(abi))
    user_namespace = not is_root and _succeeds(lambda: _try_user_namespace(allowed_paths))
    uids = allocatable_uids()
    uid_works = uids is not None and _uid_works(uids, scratch_parent, allowed_paths, keep_read_search=False)
    uid_works_with_read_search = (
        has_landlock and uids is not None and _uid_works(uids, scratch_parent, allowed_paths, keep_read_search=True)
    )
    child_uid = uids[0] if uids and (uid_works or uid_works_with_read_search) else None
    lists_descendants, lists_open_files = _probe_proc(child_uid, undumpable=not has_landlock)
    return KernelFeatures(
        landlock_abi=abi if has_landlock else 0,
        seccomp_filter=seccomp.is_supported() and _succeeds(_try_seccomp),
        network_namespace=_succeeds(lambda: unshare_namespaces(user=user_namespace, network=True)),
        network_rejoin=not user_namespace and _succeeds(lambda: rejoin_network(unshare_network())),
        user_namespace=user_namespace,
        uid_range=uids,
        uid_works=uid_works,
        uid_works_with_read_search=uid_works_with_read_search,
        is_root=is_root,
        lists_descendants=lists_descendants,
        lists_open_files=lists_open_files,
    )


def _succeeds(action: Callable[[], object]) -> bool:
    """Run the action in a forked process; return whether it raised nothing."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    return status == 0


def _probe_proc(child_uid: int | None, *, undumpable: bool) -> tuple[bool, bool]:
    """Fork a child with this uid; return whether /proc lists it and its memory, and its open files."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(ours)
            drop_privileges(child_uid, keep_read_search=False)
            set_undumpable(undumpable=undumpable)
            os.write(theirs, b"+")
            signal.pause()
        finally:
            os._exit(1)
    os.close(theirs)
    os.read(ours, 1)
    os.close(ours)
    result = pid in child_pids(os.getpid()) and threads_and_pages(pid)[0] > 0, bool(open_files(pid))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return result


def _try_landlock(abi: int) -> None:
    set_no_new_privs()
    with Ruleset(abi) as ruleset:
        ruleset.enforce()
    _expect_permission_error(lambda: os.close(os.open("/", os.O_RDONLY)))


def _try_seccomp() -> None:
    set_no_new_privs()
    seccomp.install(seccomp.build_program(allow_network=False))
    _expect_permission_error(lambda: os.close(os.memfd_create("vibe8")))
    os.getpid()


def _expect_permission_error(action: Callable[[], object]) -> None:
    try:
        action()
    except PermissionError:
        return
    raise RuntimeError("a forbidden action succeeded")


def _uid_works(uids: range, scratch_parent: Path, allowed_paths: Iterable[str], *, keep_read_search: bool) -> bool:
    """Whether a child with such a uid can read the allowed paths, and write to a directory that it is given."""
    try:
        directory = tempfile.mkdtemp(prefix="probe-", dir=scratch_parent)
    except OSError:
        return False
    try:
        uid = uid_for_directory(directory, uids)
        os.chown(directory, uid, uid)
        return _succeeds(lambda: _try_uid(uid, directory, allowed_paths, keep_read_search=keep_read_search))
    except OSError:
        return False
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _try_uid(uid: int, directory: str, allowed_paths: Iterable[str], *, keep_read_search: bool) -> None:
    drop_privileges(uid, keep_read_search=keep_read_search)
    file = Path(directory) / "file"
    file.write_bytes(b"x")
    _check_readable([*allowed_paths, str(file)])
    with suppress(PermissionError):
        os.setuid(0)
        raise RuntimeError("the process became root again")


def _try_user_namespace(allowed_paths: Iterable[str]) -> None:
    unshare_namespaces(user=True, network=False)
    drop_privileges(None, keep_read_search=False)
    _check_readable(allowed_paths)


def _check_readable(paths: Iterable[str]) -> None:
    for path in paths:
        needed = os.R_OK | os.X_OK if Path(path).is_dir() else os.R_OK
        if not os.access(path, needed):
            raise PermissionError(path)
