"""What is promised of every confined child on this machine, each promise with the kernel's feature that keeps it."""

from collections.abc import Sequence

from domain.errors import InvalidInputError
from domain.sandbox import Guarantee
from infrastructure.sandbox.kernel_features import Means
from infrastructure.sandbox.landlock import SIGNALS_VERSION, TCP_VERSION

_ABSENT = "not in this kernel, or closed to this process by its container"
_GET_LANDLOCK = "use Linux 5.13 or newer with Landlock among its security modules, and a container that allows it"
_GET_FILTER = "use Linux on x86-64 or AArch64 with seccomp filters"
_OWN_USERS = "start the worker as root with CHOWN, SETUID, SETGID, SETPCAP and KILL: each child then gets its own user"


def guarantees(means: Means) -> list[Guarantee]:
    """The table, in the order in which doors are tried."""
    return [_files(means), _network(means), *_second_network_locks(means), _calls(means), *_processes(means)]


def require(setting: str, held: Sequence[Guarantee]) -> None:
    """Raise InvalidInputError where SANDBOX=required asks for more than there is: nobody must believe in a sandbox."""
    missing = [f"{one.name} ({one.feature}: {one.detail})" for one in held if one.mandatory and not one.available]
    if setting == "required" and missing:
        raise InvalidInputError(f"SANDBOX=required cannot be met; missing: {'; '.join(missing)}")


def _files(means: Means) -> Guarantee:
    return Guarantee(
        name="only its own files",
        feature="Landlock",
        available=means.landlock > 0,
        detail=f"version {means.landlock}: scratch, python, libraries, git and ruff; a collecting child writes nowhere"
        if means.landlock
        else f"{_ABSENT}; a child reads what its user may",
        remedy=_GET_LANDLOCK,
    )


def _network(means: Means) -> Guarantee:
    return Guarantee(
        name="no network",
        feature="seccomp filter on sockets",
        available=means.seccomp,
        detail="no socket at all; git alone: TCP and UDP over IPv4 and IPv6, no Unix sockets"
        if means.seccomp
        else f"{_ABSENT}; a child reaches what the worker reaches",
        remedy=_GET_FILTER,
    )


def _second_network_locks(means: Means) -> list[Guarantee]:
    namespace, ports = means.network_namespace, means.landlock >= TCP_VERSION
    return [
        Guarantee(
            name="no network, second lock",
            feature="network namespace",
            available=namespace,
            detail="an empty one for all children but git's" if namespace else "may not be made here",
            remedy="allow user namespaces to the worker, or do without: the filter keeps the promise",
            mandatory=False,
        ),
        Guarantee(
            name="git's port alone",
            feature=f"Landlock {TCP_VERSION} (TCP)",
            available=ports,
            detail="git connects to its host's port and to name servers' 53" if ports else _ABSENT,
            remedy="use Linux 6.7 or newer, or let the network's own rules say where a worker may connect",
            mandatory=False,
        ),
    ]


def _calls(means: Means) -> Guarantee:
    return Guarantee(
        name="no dangerous system calls",
        feature="seccomp filter",
        available=means.seccomp,
        detail="no ptrace, mounts, namespaces, keyrings, io_uring, bpf, kernel modules, shared memory, new sessions"
        if means.seccomp
        else _ABSENT,
        remedy=_GET_FILTER,
    )


def _processes(means: Means) -> list[Guarantee]:
    return [_no_privileges(means), _no_signals(means), _few_processes(means), _bounded(means), _ended_whole(means)]


def _no_privileges(means: Means) -> Guarantee:
    if not means.root:
        detail = "the worker's own user, which is not root"
    elif means.plain:
        detail = "a user of its own for each child"
    elif means.search:
        detail = "a user of its own, with CAP_DAC_READ_SEARCH: python or scratch lies where only root may go"
    else:
        detail = "the worker is root, and as another user a child could not reach python, the tools or its directory"
    return Guarantee(
        name="no privileges",
        feature="unprivileged user, no capabilities, no_new_privs",
        available=not means.root or means.own_user,
        detail=detail,
        remedy="run the worker as an ordinary user",
    )


def _no_signals(means: Means) -> Guarantee:
    available = means.own_user or means.landlock >= SIGNALS_VERSION
    return Guarantee(
        name="no signals to others",
        feature="user of its own" if means.own_user else f"Landlock {SIGNALS_VERSION} (signals)",
        available=available,
        detail="nor to the worker" if available else f"{_ABSENT}; a child could end the worker",
        remedy=f"use Linux 6.12 or newer, or {_OWN_USERS}",
    )


def _few_processes(means: Means) -> Guarantee:
    kernel = means.own_user or means.user_namespace
    bound = "a user of its own" if means.own_user else "a user namespace of its own"
    return Guarantee(
        name="few processes",
        feature="RLIMIT_NPROC, and counted" if kernel else "counted ten times a second",
        available=kernel or means.counts,
        detail=f"limited for {bound}" if kernel else "the whole group is killed above the limit",
        remedy="let the worker see /proc, in a kernel that names a process's children there; or limit its container",
    )


def _bounded(means: Means) -> Guarantee:
    available = means.counts and means.sees_files
    return Guarantee(
        name="bounded memory, CPU and disk",
        feature="rlimits, and counted ten times a second",
        available=available,
        detail="address space, CPU seconds, file size, descriptors, no core; memory and scratch of the whole child"
        if available
        else "each process and file is; what a child holds together, or in files without a name, is not seen here",
        remedy=f"{_GET_LANDLOCK}; or limit the memory and the scratch space of the worker's container",
    )


def _ended_whole(means: Means) -> Guarantee:
    return Guarantee(
        name="ended whole",
        feature="process group, subreaper",
        available=means.counts,
        detail="nothing of a child is left when it ends, is cancelled, or its worker dies",
        remedy="let the worker see /proc, in a kernel that names a process's children there",
    )
