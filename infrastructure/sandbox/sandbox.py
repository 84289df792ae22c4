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
from infrastructure.sandbox import allowed_paths as reach
from infrastructure.sandbox import seccomp
from infrastructure.sandbox.guarantees import guarantees
from infrastructure.sandbox.kernel_features import Means, find_means
from infrastructure.sandbox.landlock import CHANGE, DEVICE, READ, WRITE, Ruleset, on
from infrastructure.sandbox.privileges import (
    become,
    die_with,
    gain_nothing,
    hide,
    leave_network,
    own_namespaces,
    return_to_network,
    user_of,
)
from infrastructure.sandbox.resource_usage import Bounds, Census

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

    def __init__(self, means: Means, places: Mapping[str, int]) -> None:
        """`places` are what every child may reach."""
        self.means = means
        self._places = places
        self._network_places = reach.network_places()
        self._network: int | None = None
        self._programs = {network: seccomp.program(network=network) for network in (False, True) if means.seccomp}

    @classmethod
    def prepare(cls, parent: Path) -> "Sandbox":
        """Find out everything, with every module imported; `parent` is where scratch directories will be made."""
        places = reach.places()
        return cls(find_means(parent, places), places)

    def guarantees(self) -> list[Guarantee]:
        """What this is worth."""
        return guarantees(self.means)

    def user(self, profile: SandboxProfile) -> int | None:
        """Whom a child becomes; None where it stays who it is."""
        users = self.means.users
        if users is None or not (self.means.plain or self.means.search):
            return None
        if self._must_search(profile) and not self.means.search:
            return None
        return user_of(profile.scratch, users)

    def _must_search(self, profile: SandboxProfile) -> bool:
        """A directory of this machine is read whoever owns it: as root, or by that capability."""
        return not self.means.plain or bool(profile.readable)

    def guard(self) -> None:
        """Of a guardian: leave the machine's network for all of its children at once, if it can."""
        if self.means.network_return:
            with suppress(OSError):  # then each leaves it by itself, or says why not
                self._network = leave_network()

    def return_to_network(self, profile: SandboxProfile | None) -> None:
        """Of a child that needs the network, before it closes what its guardian holds open. Raises OSError."""
        if self._network is not None and (profile is None or profile.ports):
            return_to_network(self._network)

    def give(self, profile: SandboxProfile) -> None:
        """Let the scratch directory belong to the child's user. Raises OSError."""
        user = self.user(profile)
        if user is not None:
            os.chown(profile.scratch, user, user, follow_symlinks=False)

    def census(self, profile: SandboxProfile, limits: ChildLimits) -> Census:
        """Who counts what the child uses."""
        bounds = Bounds(
            tasks=limits.tasks,
            memory_bytes=limits.total_memory_bytes,
            disk_bytes=limits.disk_bytes,
            disk_entries=limits.disk_entries,
        )
        return Census(bounds, profile.scratch if profile.writable else None)

    def enter(self, profile: SandboxProfile, limits: ChildLimits) -> None:
        """Confine this process and all that it will start, for ever. Raises OSError where any part fails."""
        guardian, user = os.getppid(), self.user(profile)
        ruleset = self._ruleset(profile) if self.means.landlock else None
        leave = self._network is None and self.means.network_namespace and not profile.ports
        own_namespaces(user=self.means.user_namespace, network=leave)
        become(user, search=user is not None and self._must_search(profile))
        self._limit(profile, limits, own_user=user is not None)
        # Where Landlock keeps children out of each other, the guardian's user may see which files each holds open.
        hide(ruleset is None)
        die_with(guardian)
        gain_nothing()
        if ruleset is not None:
            ruleset.enforce()
            ruleset.close()
        if self.means.seccomp:
            seccomp.install(self._programs[bool(profile.ports)])

    def write_no_more(self) -> None:
        """Take back what `enter` allowed of writing, from this process and all that it will start. Raises OSError."""
        _limit(resource.RLIMIT_FSIZE, 0)
        if self.means.landlock:
            with Ruleset(self.means.landlock, CHANGE) as ruleset:
                for path, access in self._places.items():
                    if access == DEVICE:
                        ruleset.allow(path, CHANGE & DEVICE)
                ruleset.enforce()

    def _ruleset(self, profile: SandboxProfile) -> Ruleset:
        ruleset = Ruleset(self.means.landlock)
        network = self._network_places if profile.ports else {}
        for path, access in (*self._places.items(), *network.items()):
            ruleset.allow(path, access)
        for path in profile.readable:
            ruleset.allow(path, on(path, READ))
        ruleset.allow(profile.scratch, WRITE if profile.writable else READ)
        if profile.ports:
            ruleset.allow_ports((*profile.ports, _NAME_SERVER_PORT))
        return ruleset

    def _limit(self, profile: SandboxProfile, limits: ChildLimits, *, own_user: bool) -> None:
        confine(limits)
        if not profile.writable:
            _limit(resource.RLIMIT_FSIZE, 0)
        if own_user or self.means.user_namespace:  # or it would count all processes of the worker's user
            _limit(resource.RLIMIT_NPROC, limits.tasks)


def confine(limits: ChildLimits) -> None:
    """Apply the limits on each process to this one and to all that it will start; no core dumps."""
    _limit(resource.RLIMIT_AS, limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, limits.cpu_seconds, most=limits.cpu_seconds + _LAST_SECONDS)
    _limit(resource.RLIMIT_FSIZE, limits.file_bytes)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    dump_no_core()


def dump_no_core() -> None:
    """Neither this process nor any that it starts is to leave its memory, with a token in it, in a file or a pipe."""
    _limit(resource.RLIMIT_CORE, _NO_CORE)


def _limit(which: int, value: int, most: int | None = None) -> None:
    _, hard = resource.getrlimit(which)
    most = value if most is None else most
    if hard != resource.RLIM_INFINITY:
        value, most = min(value, hard), min(most, hard)
    resource.setrlimit(which, (value, most))
