"""The zygote of `vibe8 analyze`, which is started before the command line is parsed."""

from infrastructure.child_process.zygote_process import ZygoteProcess, launch_zygote
from worker.analysis.preload import PRELOAD


class EarlyZygote:
    """The zygote that was started before the command line was parsed, if any."""

    def __init__(self) -> None:
        self._started: ZygoteProcess | None = None

    def start(self) -> None:
        """Start the zygote."""
        self._started = launch_zygote(PRELOAD)

    def take(self) -> ZygoteProcess:
        """Return the zygote that was started, or a new one. The caller has to end it."""
        started, self._started = self._started, None
        return launch_zygote(PRELOAD) if started is None else started

    def kill(self) -> None:
        """End the zygote, if it was started and nobody has taken it."""
        if self._started is not None:
            self._started.kill()


early_zygote = EarlyZygote()
