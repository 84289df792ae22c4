"""What confines a child before it touches hostile input: limits, namespaces, a user, Landlock, a seccomp filter.

The zygote prepares a `Sandbox` once; each child enters it within a millisecond or two. What this machine lacks was
found out by trying, and is said as a `Guarantee`; what it has must work for every child, or that child does nothing.
"""

import os
import resource
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
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

_NAME_SERVER_PORT = 53
_NO_CORE = 1
"""Bytes of a core dump: too few for a file, and unlike 0 a pipe to a handler is not opened either (`fs/coredump.c`)."""

_LAST_SECONDS = 5
"""Between the signal that says that CPU time is up, and the one that cannot be ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLimits:
    """How much a child may use. Of each process: bytes of address space, bytes of one file, descriptors, CPU seconds.

    Of all its processes together: `tasks` (threads), `total_memory_bytes` (resident, shared pages counted for each),
    and in scratch `disk_bytes` and `disk_entries`.
    """

    memory_bytes: int
    file_bytes: int
    open_files: int = 1024
    cpu_seconds: int = 3600
    tasks: int = 256
    total_memory_bytes: int = 1 << 36
    disk_bytes: int = 1 << 34
    disk_entries: int = 500_000

    def to_json(self) -> dict[str, JSON]:
        """As a guardian receives it."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, document: Mapping[str, JSON]) -> Self:
        """What `to_json` has made."""
        return cls(**document)


class Sandbox:
    """What has been found out and prepared."""

    def __init__(self, features: KernelFeatures, allowed_paths: Mapping[str, int]) -> None:
        """`allowed_paths` are what every child may reach."""
        self.features = features
        self._allowed_paths = allowed_paths
        self._network_paths = paths.network_paths()
        self._network: int | None = None
        self._programs = {
            network: seccomp.build_program(allow_network=network)
            for network in (False, True)
            if features.seccomp_filter
        }

    @classmethod
    def prepare(cls, parent: Path) -> "Sandbox":
        """Find out everything, with every module imported; `parent` is where scratch directories will be made."""
        allowed_paths = paths.allowed_paths()
        return cls(probe_kernel_features(parent, allowed_paths), allowed_paths)

    def guarantees(self) -> list[Guarantee]:
        """What this is worth."""
        return sandbox_guarantees(self.features)

    def uid(self, profile: SandboxProfile) -> int | None:
        """Whom a child becomes; None where it stays who it is."""
        users = self.features.uid_range
        if users is None or not (self.features.uid_works or self.features.uid_works_with_read_search):
            return None
        if self._needs_read_search(profile) and not self.features.uid_works_with_read_search:
            return None
        return uid_for_directory(profile.scratch, users)

    def _needs_read_search(self, profile: SandboxProfile) -> bool:
        """A directory of this machine is read whoever owns it: as root, or by that capability."""
        return not self.features.uid_works or bool(profile.readable_paths)

    def unshare_network(self) -> None:
        """Of a guardian: leave the machine's network for all of its children at once, if it can."""
        if self.features.network_rejoin:
            with suppress(OSError):  # then each leaves it by itself, or says why not
                self._network = unshare_network()

    def rejoin_network(self, profile: SandboxProfile | None) -> None:
        """Of a child that needs the network, before it closes what its guardian holds open. Raises OSError."""
        if self._network is not None and (profile is None or profile.tcp_ports):
            rejoin_network(self._network)

    def chown_scratch(self, profile: SandboxProfile) -> None:
        """Let the scratch directory belong to the child's user. Raises OSError."""
        user = self.uid(profile)
        if user is not None:
            os.chown(profile.scratch, user, user, follow_symlinks=False)

    def resource_usage(self, profile: SandboxProfile, limits: ChildLimits) -> ResourceUsage:
        """Who counts what the child uses."""
        bounds = ResourceLimits(
            tasks=limits.tasks,
            memory_bytes=limits.total_memory_bytes,
            disk_bytes=limits.disk_bytes,
            disk_entries=limits.disk_entries,
        )
        return ResourceUsage(bounds, profile.scratch if profile.scratch_writable else None)

    def enter(self, profile: SandboxProfile, limits: ChildLimits) -> None:
        """Confine this process and all that it will start, for ever. Raises OSError where any part fails."""
        guardian, user = os.getppid(), self.uid(profile)
        ruleset = self._ruleset(profile) if self.features.landlock_abi else None
        leave = self._network is None and self.features.network_namespace and not profile.tcp_ports
        unshare_namespaces(user=self.features.user_namespace, network=leave)
        drop_privileges(user, keep_read_search=user is not None and self._needs_read_search(profile))
        self._limit(profile, limits, own_user=user is not None)
        # Where Landlock keeps children out of each other, the guardian's user may see which files each holds open.
        set_undumpable(ruleset is None)
        set_parent_death_signal(guardian)
        set_no_new_privs()
        if ruleset is not None:
            ruleset.enforce()
            ruleset.close()
        if self.features.seccomp_filter:
            seccomp.install(self._programs[bool(profile.tcp_ports)])

    def revoke_write(self) -> None:
        """Take back what `enter` allowed of writing, from this process and all that it will start. Raises OSError."""
        _limit(resource.RLIMIT_FSIZE, 0)
        if self.features.landlock_abi:
            with Ruleset(self.features.landlock_abi, ACCESS_MODIFY) as ruleset:
                for path, access in self._allowed_paths.items():
                    if access == ACCESS_DEVICE:
                        ruleset.allow_path(path, ACCESS_MODIFY & ACCESS_DEVICE)
                ruleset.enforce()

    def _ruleset(self, profile: SandboxProfile) -> Ruleset:
        ruleset = Ruleset(self.features.landlock_abi)
        network = self._network_paths if profile.tcp_ports else {}
        for path, access in (*self._allowed_paths.items(), *network.items()):
            ruleset.allow_path(path, access)
        for path in profile.readable_paths:
            ruleset.allow_path(path, applicable_access(path, ACCESS_READ))
        ruleset.allow_path(profile.scratch, ACCESS_READ_WRITE if profile.scratch_writable else ACCESS_READ)
        if profile.tcp_ports:
            ruleset.allow_tcp_connect((*profile.tcp_ports, _NAME_SERVER_PORT))
        return ruleset

    def _limit(self, profile: SandboxProfile, limits: ChildLimits, *, own_user: bool) -> None:
        apply_limits(limits)
        if not profile.scratch_writable:
            _limit(resource.RLIMIT_FSIZE, 0)
        if own_user or self.features.user_namespace:  # or it would count all processes of the worker's user
            _limit(resource.RLIMIT_NPROC, limits.tasks)


def apply_limits(limits: ChildLimits) -> None:
    """Apply the limits on each process to this one and to all that it will start; no core dumps."""
    _limit(resource.RLIMIT_AS, limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, limits.cpu_seconds, most=limits.cpu_seconds + _LAST_SECONDS)
    _limit(resource.RLIMIT_FSIZE, limits.file_bytes)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    disable_core_dumps()


def disable_core_dumps() -> None:
    """Neither this process nor any that it starts is to leave its memory, with a token in it, in a file or a pipe."""
    _limit(resource.RLIMIT_CORE, _NO_CORE)


def _limit(which: int, value: int, most: int | None = None) -> None:
    _, hard = resource.getrlimit(which)
    most = value if most is None else most
    if hard != resource.RLIM_INFINITY:
        value, most = min(value, hard), min(most, hard)
    resource.setrlimit(which, (value, most))
