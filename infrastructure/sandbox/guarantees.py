"""What the sandbox guarantees for every child on this machine, and which kernel feature enforces each guarantee."""

from collections.abc import Sequence

from domain.errors import InvalidInputError
from domain.sandbox import Guarantee
from infrastructure.sandbox.kernel_features import KernelFeatures
from infrastructure.sandbox.landlock import SIGNAL_SCOPE_ABI, TCP_ABI

_NOT_AVAILABLE = "not in this kernel, or denied by the container"
_GET_LANDLOCK = "use Linux 5.13 or newer with Landlock among its security modules, and a container that permits it"
_GET_SECCOMP = "use Linux on x86-64 or AArch64 with seccomp filters"
_GET_OWN_UIDS = (
    "start the worker as root with CHOWN, SETUID, SETGID, SETPCAP and KILL: each child then gets its own user"
)
_GET_PROC = "let the worker read /proc, on a kernel that lists the children of a process there"


def sandbox_guarantees(features: KernelFeatures) -> list[Guarantee]:
    """Return all guarantees, also those that this machine cannot give."""
    return [
        _file_access(features),
        _no_network(features),
        _network_namespace(features),
        _tcp_port(features),
        _system_calls(features),
        _no_privileges(features),
        _no_signals(features),
        _process_count(features),
        _memory_cpu_disk(features),
        _no_process_left(features),
    ]


def require_guarantees(setting: str, guarantees: Sequence[Guarantee]) -> None:
    """Raise InvalidInputError if the setting is `required` and a mandatory guarantee is missing."""
    missing = [
        f"{each.name} ({each.feature}: {each.detail})" for each in guarantees if each.mandatory and not each.available
    ]
    if setting == "required" and missing:
        raise InvalidInputError(f"SANDBOX=required cannot be met; missing: {'; '.join(missing)}")


def _file_access(features: KernelFeatures) -> Guarantee:
    return Guarantee(
        name="only its own files",
        feature="Landlock",
        available=features.landlock_abi > 0,
        detail=f"ABI {features.landlock_abi}: scratch, python, libraries, git, ruff; a collecting child cannot write"
        if features.landlock_abi
        else f"{_NOT_AVAILABLE}; a child reads what its user may read",
        remedy=_GET_LANDLOCK,
    )


def _no_network(features: KernelFeatures) -> Guarantee:
    return Guarantee(
        name="no network",
        feature="seccomp filter on sockets",
        available=features.seccomp_filter,
        detail="no socket at all; git only: TCP and UDP over IPv4 and IPv6, no Unix sockets"
        if features.seccomp_filter
        else f"{_NOT_AVAILABLE}; a child reaches what the worker reaches",
        remedy=_GET_SECCOMP,
    )


def _network_namespace(features: KernelFeatures) -> Guarantee:
    return Guarantee(
        name="separate network namespace",
        feature="network namespace",
        available=features.network_namespace,
        detail="an empty one for all children but git's" if features.network_namespace else "not permitted here",
        remedy="permit user namespaces to the worker, or do without: the seccomp filter blocks the network as well",
        mandatory=False,
    )


def _tcp_port(features: KernelFeatures) -> Guarantee:
    available = features.landlock_abi >= TCP_ABI
    return Guarantee(
        name="only git's TCP port",
        feature=f"Landlock {TCP_ABI} (TCP)",
        available=available,
        detail="git connects to its host's port and to name servers on port 53" if available else _NOT_AVAILABLE,
        remedy="use Linux 6.7 or newer, or restrict the worker's connections by a firewall",
        mandatory=False,
    )


def _system_calls(features: KernelFeatures) -> Guarantee:
    return Guarantee(
        name="no dangerous system calls",
        feature="seccomp filter",
        available=features.seccomp_filter,
        detail="no ptrace, mounts, namespaces, keyrings, io_uring, bpf, kernel modules, shared memory, new sessions; "
        "no change of a file's mode, owner, times or attributes; no watching of directories"
        if features.seccomp_filter
        else _NOT_AVAILABLE,
        remedy=_GET_SECCOMP,
    )


def _no_privileges(features: KernelFeatures) -> Guarantee:
    if not features.is_root:
        detail = "the worker's own user, which is not root"
    elif features.uid_works:
        detail = "a user of its own for each child"
    elif features.uid_works_with_read_search:
        detail = "a user of its own, with CAP_DAC_READ_SEARCH: only root may read python or scratch"
    else:
        detail = "the worker is root, and another user could not read python, the tools or scratch"
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
        detail="nor to the worker" if available else f"{_NOT_AVAILABLE}; a child could kill the worker",
        remedy=f"use Linux 6.12 or newer, or {_GET_OWN_UIDS}",
    )


def _process_count(features: KernelFeatures) -> Guarantee:
    kernel_limit = features.own_uid or features.user_namespace
    scope = "a user of its own" if features.own_uid else "a user namespace of its own"
    return Guarantee(
        name="limited number of processes",
        feature="RLIMIT_NPROC, and checked" if kernel_limit else "checked ten times a second",
        available=kernel_limit or features.lists_descendants,
        detail=f"limited for {scope}" if kernel_limit else "the whole group is killed above the limit",
        remedy=f"{_GET_PROC}; or limit the processes of the worker's container",
    )


def _memory_cpu_disk(features: KernelFeatures) -> Guarantee:
    available = features.lists_descendants and features.lists_open_files
    return Guarantee(
        name="limited memory, CPU and disk",
        feature="rlimits, and checked ten times a second",
        available=available,
        detail="address space, CPU time, file size, open files, no core dump; memory, sockets and scratch of the whole "
        "child"
        if available
        else "for each process and file; not for the memory of the whole child, its sockets, or deleted files that it "
        "holds open",
        remedy=f"{_GET_LANDLOCK}; or limit the memory and the scratch space of the worker's container",
    )


def _no_process_left(features: KernelFeatures) -> Guarantee:
    return Guarantee(
        name="no process left behind",
        feature="process group, subreaper",
        available=features.lists_descendants,
        detail="all processes of a child are killed when it ends, is cancelled, or its worker dies",
        remedy=_GET_PROC,
    )
