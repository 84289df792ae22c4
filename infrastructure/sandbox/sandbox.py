"""The sandbox of a child: limits, namespaces, user, Landlock and seccomp, applied before it reads hostile input.

The zygote prepares one `Sandbox`; each child then enters it within about two milliseconds. A kernel feature that this
machine lacks is left out, and its `Guarantee` says so. A feature that it has must work for each child: if applying it
fails, the child does not run.
"""

import os
import resource
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from domain.sandbox import Guarantee, SandboxProfile
from domain.text import JSON
from infrastructure.sandbox import allowed_paths as paths
from infrastructure.sandbox import seccomp
from infrastructure.sandbox.guarantees import sandbox_guarantees
from infrastructure.sandbox.kernel_features import KernelFeatures, probe_kernel_features
from infrastructure.sandbox.landlock import (
    ACCESS_DEVICE,
    ACCESS_MODIFY,
    ACCESS_READ,
    ACCESS_READ_WRITE,
    Ruleset,
    applicable_access,
)
from infrastructure.sandbox.privileges import (
    drop_privileges,
    rejoin_network,
    set_no_new_privs,
    set_parent_death_signal,
    set_undumpable,
    uid_for_directory,
    unshare_namespaces,
    unshare_network,
)
from infrastructure.sandbox.resource_usage import ResourceLimits, ResourceUsage

_DNS_PORT = 53
_CORE_DUMP_BYTES = 1
"""Too small for a core file. Unlike 0, it also keeps the kernel from starting a pipe handler (`fs/coredump.c`)."""

_SIGXCPU_GRACE_SECONDS = 5
"""CPU time between SIGXCPU and the SIGKILL that follows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLimits:
    """How much a child may use.

    Each process: bytes of address space, bytes of one file, open files, seconds of CPU time. All processes together:
    `tasks` (threads), `total_memory_bytes` (resident; each process counts shared pages), and `disk_bytes` and
    `disk_entries` in scratch; `sockets`, of a child with network access.
    """

    memory_bytes: int
    file_bytes: int
    open_files: int = 1024
    cpu_seconds: int = 3600
    tasks: int = 256
    total_memory_bytes: int = 1 << 36
    disk_bytes: int = 1 << 34
    disk_entries: int = 500_000
    sockets: int = 32

    def lowered_for(self, profile: SandboxProfile) -> Self:
        """Return these limits with those of the profile, where they are lower."""
        return replace(
            self,
            memory_bytes=min(self.memory_bytes, profile.memory_bytes or self.memory_bytes),
            total_memory_bytes=min(self.total_memory_bytes, profile.total_memory_bytes or self.total_memory_bytes),
        )

    def to_json(self) -> dict[str, JSON]:
        """Return the limits as they are sent to a supervisor."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, document: Mapping[str, JSON]) -> Self:
        """Rebuild limits from the result of `to_json`."""
        return cls(**document)


class Sandbox:
    """What all children share: the probed kernel features, the allowed paths and the compiled seccomp filters."""

    def __init__(self, features: KernelFeatures, allowed_paths: Mapping[str, int]) -> None:
        """`allowed_paths` maps what every child may access to its Landlock access rights."""
        self.features = features
        self._allowed_paths = allowed_paths
        self._network_paths = paths.network_paths()
        self._network: int | None = None
        self._filters = {
            allow_network: seccomp.build_program(allow_network=allow_network)
            for allow_network in (False, True)
            if features.seccomp_filter
        }

    @classmethod
    def prepare(cls, scratch_parent: Path) -> Self:
        """Probe the kernel and list the allowed paths; call it after all modules have been imported.

        `scratch_parent` is where scratch directories will be made.
        """
        allowed_paths = paths.allowed_paths()
        return cls(probe_kernel_features(scratch_parent, allowed_paths), allowed_paths)

    def guarantees(self) -> list[Guarantee]:
        """Return what the sandbox guarantees on this machine, and what it cannot."""
        return sandbox_guarantees(self.features)

    def uid(self, profile: SandboxProfile) -> int | None:
        """Return the uid that the child switches to; None if it keeps the worker's."""
        if self.features.uid_range is None or not self.features.own_uid:
            return None
        if self._needs_read_search(profile) and not self.features.uid_works_with_read_search:
            return None
        return uid_for_directory(profile.scratch, self.features.uid_range)

    def _needs_read_search(self, profile: SandboxProfile) -> bool:
        """Whether the child needs CAP_DAC_READ_SEARCH: for the interpreter, or for paths that any user may own."""
        return not self.features.uid_works or bool(profile.readable_paths)

    def unshare_network(self) -> None:
        """In a supervisor: leave the machine's network once for all its children, if the kernel lets them rejoin it."""
        if self.features.network_rejoin:
            with suppress(OSError):  # then each child leaves it by itself, or fails with a reason
                self._network = unshare_network()

    def rejoin_network(self, profile: SandboxProfile | None) -> None:
        """In a child that needs the network: rejoin it, before the inherited descriptors are closed. Raises OSError."""
        if self._network is not None and (profile is None or profile.tcp_ports):
            rejoin_network(self._network)

    def chown_scratch(self, profile: SandboxProfile) -> None:
        """Give the scratch directory to the child's user. Raises OSError."""
        uid = self.uid(profile)
        if uid is not None:
            os.chown(profile.scratch, uid, uid, follow_symlinks=False)

    def resource_usage(self, profile: SandboxProfile, limits: ChildLimits) -> ResourceUsage:
        """Return what checks the usage of this process's descendants against the limits."""
        resource_limits = ResourceLimits(
            tasks=limits.tasks,
            memory_bytes=limits.total_memory_bytes,
            disk_bytes=limits.disk_bytes,
            disk_entries=limits.disk_entries,
            sockets=limits.sockets,
        )
        directory = profile.scratch if profile.scratch_writable else None
        return ResourceUsage(resource_limits, directory, counts_sockets=bool(profile.tcp_ports))

    def enter(self, profile: SandboxProfile, limits: ChildLimits) -> None:
        """Confine this process and its descendants for ever. Raises OSError if any part fails."""
        supervisor_pid, uid = os.getppid(), self.uid(profile)
        ruleset = self._ruleset(profile) if self.features.landlock_abi else None
        new_network = self._network is None and self.features.network_namespace and not profile.tcp_ports
        unshare_namespaces(user=self.features.user_namespace, network=new_network)
        drop_privileges(uid, keep_read_search=uid is not None and self._needs_read_search(profile))
        self._apply_limits(profile, limits, own_uid=uid is not None)
        # With Landlock, children cannot access each other anyway. The process can then stay dumpable, so that the
        # supervisor can list its open files.
        set_undumpable(undumpable=ruleset is None)
        set_parent_death_signal(supervisor_pid)
        set_no_new_privs()
        if ruleset is not None:
            ruleset.enforce()
            ruleset.close()
        if self.features.seccomp_filter:
            seccomp.install(self._filters[bool(profile.tcp_ports)])

    def revoke_write(self) -> None:
        """Take back the write access that `enter` gave to this process and its descendants. Raises OSError."""
        _set_limit(resource.RLIMIT_FSIZE, 0)
        if self.features.landlock_abi:
            with Ruleset(self.features.landlock_abi, ACCESS_MODIFY) as ruleset:
                for path, access in self._allowed_paths.items():
                    if access == ACCESS_DEVICE:
                        ruleset.allow_path(path, ACCESS_MODIFY & ACCESS_DEVICE)
                ruleset.enforce()

    def _ruleset(self, profile: SandboxProfile) -> Ruleset:
        ruleset = Ruleset(self.features.landlock_abi)
        network_paths = self._network_paths if profile.tcp_ports else {}
        for path, access in (*self._allowed_paths.items(), *network_paths.items()):
            ruleset.allow_path(path, access)
        for path in profile.readable_paths:
            ruleset.allow_path(path, applicable_access(path, ACCESS_READ))
        ruleset.allow_path(profile.scratch, ACCESS_READ_WRITE if profile.scratch_writable else ACCESS_READ)
        if profile.tcp_ports:
            ruleset.allow_tcp_connect((*profile.tcp_ports, _DNS_PORT))
        return ruleset

    def _apply_limits(self, profile: SandboxProfile, limits: ChildLimits, *, own_uid: bool) -> None:
        apply_limits(limits)
        if not profile.scratch_writable:
            _set_limit(resource.RLIMIT_FSIZE, 0)
        if own_uid or self.features.user_namespace:  # else the limit would count all processes of the worker's user
            _set_limit(resource.RLIMIT_NPROC, limits.tasks)


def apply_limits(limits: ChildLimits) -> None:
    """Apply the limits on each process to this one and its descendants, and disable core dumps."""
    _set_limit(resource.RLIMIT_AS, limits.memory_bytes)
    _set_limit(resource.RLIMIT_CPU, limits.cpu_seconds, hard=limits.cpu_seconds + _SIGXCPU_GRACE_SECONDS)
    _set_limit(resource.RLIMIT_FSIZE, limits.file_bytes)
    _set_limit(resource.RLIMIT_NOFILE, limits.open_files)
    disable_core_dumps()


def disable_core_dumps() -> None:
    """Keep the kernel from writing the memory of this process or its descendants, which may hold a token, to a dump."""
    _set_limit(resource.RLIMIT_CORE, _CORE_DUMP_BYTES)


def _set_limit(which: int, soft: int, hard: int | None = None) -> None:
    """Set both limits (`hard` is `soft` if not given), but neither above the present hard limit."""
    _, present = resource.getrlimit(which)
    hard = soft if hard is None else hard
    if present != resource.RLIM_INFINITY:
        soft, hard = min(soft, present), min(hard, present)
    resource.setrlimit(which, (soft, hard))
