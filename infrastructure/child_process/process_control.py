"""What a forked process does first to separate itself from what it inherited."""

import os
import resource

from infrastructure.sandbox.privileges import set_parent_death_signal

_MAX_FDS = 1 << 20
"""The number of descriptors to close where RLIMIT_NOFILE is unlimited."""


class SystemProcessControl:
    """Implements `domain.ports.ProcessControl`."""

    def close_other_fds(self, *kept: int) -> None:
        """See `domain.ports.ProcessControl.close_other_fds`."""
        close_other_fds(*kept)

    def set_parent_death_signal(self, parent_pid: int) -> None:
        """See `domain.ports.ProcessControl.set_parent_death_signal`."""
        set_parent_death_signal(parent_pid)


def close_other_fds(*kept: int) -> None:
    """Close all file descriptors but these and the standard streams, whoever opened them."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    end = most if most != resource.RLIM_INFINITY else _MAX_FDS
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, end)
