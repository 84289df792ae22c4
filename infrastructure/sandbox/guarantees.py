"""What is promised of every confined child on this machine, each promise with the kernel's feature that keeps it."""

from collections.abc import Sequence

from domain.errors import InvalidInputError
from domain.sandbox import Guarantee
from infrastructure.sandbox.kernel_features import KernelFeatures
from infrastructure.sandbox.landlock import SIGNAL_SCOPE_ABI, TCP_ABI

_ABSENT = "not in this kernel, or closed to this process by its container"
_GET_LANDLOCK = "use Linux 5.13 or newer with Landlock among its security modules, and a container that allows it"
_GET_FILTER = "use Linux on x86-64 or AArch64 with seccomp filters"
_OWN_USERS = "start the worker as root with CHOWN, SETUID, SETGID, SETPCAP and KILL: each child then gets its own user"


def sandbox_guarantees(features: KernelFeatures) -> list[Guarantee]:
    """The table, in the order in which doors are tried."""
    return [
        _files(features),
        _network(features),
        *_second_network_locks(features),
        _calls(features),
        *_processes(features),
    ]


def require_guarantees(setting: str, held: Sequence[Guarantee]) -> None:
    """Raise InvalidInputError where SANDBOX=required asks for more than there is: nobody must believe in a sandbox."""
    missing = [f"{one.name} ({one.feature}: {one.detail})" for one in held if one.mandatory and not one.available]
    if setting == "required" and missing:
        raise InvalidInputError(f"SANDBOX=required cannot be met; missing: {'; '.join(missing)}")


def _files(features: KernelFeatures) -> Guarantee:
    return Guarantee(
        name="only its own files",
        feature="Landlock",
        available=features.landlock_abi > 0,
        detail=f"ABI {features.landlock_abi}: scratch, python, libraries, git, ruff; a collecting child writes nowhere"
        if features.landlock_abi
        else f"{_ABSENT}; a child reads what its user may",
        remedy=_GET_LANDLOCK,
    )


def _network(features: KernelFeatures) -> Guarantee:
    return Guarantee(
        name="no network",
        feature="seccomp filter on sockets",
        available=features.seccomp_filter,
        detail="no socket at all; git alone: TCP and UDP over IPv4 and IPv6, no Unix sockets"
        if features.seccomp_filter
        else f"{_ABSENT}; a child reaches what the worker reaches",
        remedy=_GET_FILTER,
    )


def _second_network_locks(features: KernelFeatures) -> list[Guarantee]:
    namespace, ports = features.network_namespace, features.landlock_abi >= TCP_ABI
    return [
        Guarantee(
            name="separate network namespace",
            feature="network namespace",
            available=namespace,
            detail="an empty one for all children but git's" if namespace else "may not be made here",
            remedy="allow user namespaces to the worker, or do without: the filter keeps the promise",
            mandatory=False,
        ),
        Guarantee(
            name="only git's TCP port",
            feature=f"Landlock {TCP_ABI} (TCP)",
            available=ports,
            detail="git connects to its host's port and to name servers' 53" if ports else _ABSENT,
            remedy="use Linux 6.7 or newer, or let the network's own rules say where a worker may connect",
            mandatory=False,
        ),
    ]


def _calls(features: KernelFeatures) -> Guarantee:
    return Guarantee(
        name="no dangerous system calls",
        feature="seccomp filter",
        available=features.seccomp_filter,
        detail="no ptrace, mounts, namespaces, keyrings, io_uring, bpf, kernel modules, shared memory, new sessions"
        if features.seccomp_filter
        else _ABSENT,
        remedy=_GET_FILTER,
    )


def _processes(features: KernelFeatures) -> list[Guarantee]:
    return [
        _no_privileges(features),
        _no_signals(features),
        _few_processes(features),
        _bounded(features),
        _ended_whole(features),
    ]


def _no_privileges(features: KernelFeatures) -> Guarantee:
    if not features.is_root:
        detail = "the worker's own user, which is not root"
    elif features.uid_works:
        detail = "a user of its own for each child"
    elif features.uid_works_with_read_search:
        detail = "a user of its own, with CAP_DAC_READ_SEARCH: python or scratch lies where only root may go"
    else:
        detail = "the worker is root, and as another user a child could not reach python, the tools or its directory"
    return Guarantee(
        name="no privileges",
        feature="unprivileged user, no capabilities, no_new_privs",
        available=not features.is_root or features.own_uid,
        detail=detail,
        remedy="run the worker as an ordinary user",
    )


def _no_signals(features: KernelFeatures) -> Guarantee:
    available = features.own_uid or features.landlock_abi >= SIGNAL_SCOPE_ABI
    return Guarantee(
        name="no signals to other processes",
        feature="user of its own" if features.own_uid else f"Landlock {SIGNAL_SCOPE_ABI} (signals)",
        available=available,
        detail="nor to the worker" if available else f"{_ABSENT}; a child could end the worker",
        remedy=f"use Linux 6.12 or newer, or {_OWN_USERS}",
    )


def _few_processes(features: KernelFeatures) -> Guarantee:
    kernel = features.own_uid or features.user_namespace
    bound = "a user of its own" if features.own_uid else "a user namespace of its own"
    return Guarantee(
        name="limited number of processes",
        feature="RLIMIT_NPROC, and counted" if kernel else "counted ten times a second",
        available=kernel or features.lists_descendants,
        detail=f"limited for {bound}" if kernel else "the whole group is killed above the limit",
        remedy="let the worker see /proc, in a kernel that names a process's children there; or limit its container",
    )


def _bounded(features: KernelFeatures) -> Guarantee:
    available = features.lists_descendants and features.lists_open_files
    return Guarantee(
        name="limited memory, CPU and disk",
        feature="rlimits, and counted ten times a second",
        available=available,
        detail="address space, CPU seconds, file size, descriptors, no core; memory and scratch of the whole child"
        if available
        else "each process and file is; what a child holds together, or in files without a name, is not seen here",
        remedy=f"{_GET_LANDLOCK}; or limit the memory and the scratch space of the worker's container",
    )


def _ended_whole(features: KernelFeatures) -> Guarantee:
    return Guarantee(
        name="no process left behind",
        feature="process group, subreaper",
        available=features.lists_descendants,
        detail="nothing of a child is left when it ends, is cancelled, or its worker dies",
        remedy="let the worker see /proc, in a kernel that names a process's children there",
    )
