"""What a forked process does first to separate itself from what it inherited."""

import os
import resource

from infrastructure.sandbox.privileges import set_parent_death_signal

_MAX_FDS = 1 << 20
"""The number of descriptors to close where RLIMIT_NOFILE is unlimited."""


class SystemProcessControl:
    """Implements `domain.ports.ProcessControl`."""

    def close_other_fds(self, kept_fd: int) -> None:
        """See `domain.ports.ProcessControl.close_other_fds`."""
        close_other_fds(kept_fd)

    def set_parent_death_signal(self, parent_pid: int) -> None:
        """See `domain.ports.ProcessControl.set_parent_death_signal`."""
        set_parent_death_signal(parent_pid)


def close_other_fds(kept_fd: int) -> None:
    """Close all file descriptors but this one and the standard streams, whoever opened them."""
    os.closerange(3, kept_fd)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    os.closerange(kept_fd + 1, most if most != resource.RLIM_INFINITY else _MAX_FDS)
