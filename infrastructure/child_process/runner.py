"""Run functions in child processes that are forked from a zygote. Implements `domain.ports.ChildRunner`."""

import asyncio
import signal
import socket
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from domain.errors import AnalysisKilledError
from domain.framing import HEADER
from domain.ports import FollowUp, ProgressListener
from domain.sandbox import Guarantee, SandboxProfile
from domain.text import JSON
from infrastructure.child_process.cancellation import finish_despite_cancellation
from infrastructure.child_process.child_channel import exchange
from infrastructure.child_process.supervisor_client import SupervisorClient
from infrastructure.child_process.supervisor_protocol import DEADLINE_EXCEEDED, ExitReport, SpawnRequest
from infrastructure.child_process.wire_protocol import MessageKind, encode_message
from infrastructure.child_process.zygote_process import ZygoteProcess, launch_zygote
from infrastructure.json_codec import loads
from infrastructure.observability.child_metrics import add_child_cpu, running_child
from infrastructure.sandbox.sandbox import ChildLimits

HEARTBEAT_TIMEOUT_SECONDS = 20.0
"""Less than a lease lasts: the child of a worker that hangs is dead before another worker may claim its job."""

KILL_GRACE_SECONDS = 60.0
"""How long after its deadline a child may take to be killed, on a busy machine."""

MAX_IDLE_SUPERVISORS = 8
"""Idle supervisors to keep: starting and ending one takes a fifth of the time of a small file's analysis."""


class ZygoteRunner:
    """Starts the zygote when it is first needed, and again if it dies. Keeps idle supervisors for later children."""

    def __init__(
        self,
        preload: Sequence[str],
        limits: ChildLimits,
        *,
        scratch: Path | None = None,
        heartbeat_timeout: float = HEARTBEAT_TIMEOUT_SECONDS,
        zygote: ZygoteProcess | None = None,
        warm_up: str | None = None,
    ) -> None:
        """`preload` names the modules that the zygote imports, so that no child has to.

        `scratch` is where the directories of children will be made (None: the directory for temporary files). A
        supervisor kills its child after `heartbeat_timeout` seconds without a heartbeat from this process. `zygote` has
        been started already, with the same preload. `warm_up` is a function (`"module:function"`) that the zygote calls
        once, with `scratch`, before it starts the first child.
        """
        self.guarantees: tuple[Guarantee, ...] = ()
        """What the sandbox guarantees on this machine; empty until `start` has returned."""
        self._scratch = scratch or Path(tempfile.gettempdir())
        self._heartbeat_timeout = heartbeat_timeout
        self._preload = tuple(preload)
        self._limits = limits
        self._lock = asyncio.Lock()
        self._prestarted = zygote
        self._warm_up = warm_up
        self._zygote: ZygoteProcess | None = None
        self._idle: list[SupervisorClient] = []

    @property
    def pid(self) -> int | None:
        """The zygote's process id; None if it is not running."""
        return None if self._zygote is None else self._zygote.process.pid

    async def start(self) -> None:
        """Start the zygote, and wait until it has imported all modules and probed the kernel (about a second)."""
        async with self._lock:
            if self._zygote is not None and self._zygote.is_alive():
                return
            if self._zygote is not None:
                self._zygote.control.close()
                self._close_idle_supervisors()
            zygote, self._prestarted = self._prestarted, None
            if zygote is None:
                zygote = await asyncio.to_thread(launch_zygote, self._preload)
            self._zygote = zygote
            zygote.control.setblocking(False)  # noqa: FBT003 - the method has no keyword
            setup = {"scratch": str(self._scratch), "warm_up": self._warm_up}
            zygote.control.sendall(encode_message(MessageKind.REQUEST, setup))
            self.guarantees = await _receive_guarantees(zygote.control)

    async def run(
        self,
        entry: str,
        request: Mapping[str, JSON],
        *,
        sandbox: SandboxProfile | None,
        deadline: float,
        on_progress: ProgressListener | None = None,
        follow_up: FollowUp | None = None,
        attachment: Callable[[], Awaitable[bytes]] | None = None,
    ) -> Mapping[str, JSON]:
        """See `domain.ports.ChildRunner.run`."""
        await self.start()
        spawn_request = SpawnRequest(
            deadline=deadline,
            heartbeat_timeout=self._heartbeat_timeout,
            limits=self._limits if sandbox is None else self._limits.lowered_for(sandbox),
            sandbox=sandbox,
        )
        message = {
            "entry": entry,
            "request": request,
            "attached": attachment is not None,
            "follow_up": follow_up and {"entry": follow_up.entry, "request": follow_up.request},
        }
        entries = [entry] if follow_up is None else [entry, follow_up.entry]
        label = "+".join(name.rpartition(":")[2] for name in entries)
        with running_child(label):
            result, report = await self._run_child(spawn_request, message, attachment, on_progress)
        add_child_cpu(label, report.cpu_seconds)
        if result is None:
            raise AnalysisKilledError(_explain(report, spawn_request), timed_out=report.reason == DEADLINE_EXCEEDED)
        return result

    async def stop(self) -> None:
        """Kill the zygote. Each child is killed when the connection to its supervisor closes."""
        async with self._lock:
            zygotes = [each for each in (self._zygote, self._prestarted) if each is not None]
            self._zygote = self._prestarted = None
            self._close_idle_supervisors()
            for zygote in zygotes:
                await asyncio.to_thread(zygote.kill)

    async def _run_child(
        self,
        spawn_request: SpawnRequest,
        message: Mapping[str, JSON],
        attachment: Callable[[], Awaitable[bytes]] | None,
        on_progress: ProgressListener | None,
    ) -> tuple[Mapping[str, JSON] | None, ExitReport]:
        """Return the child's result and how it ended. No process of it is left, whatever is raised."""
        supervisor, channel = self._spawn(spawn_request)
        try:
            async with asyncio.timeout(spawn_request.deadline + KILL_GRACE_SECONDS):
                result, report = await exchange(supervisor, channel, message, attachment, on_progress)
        except TimeoutError as error:
            await finish_despite_cancellation(supervisor.shut_down())
            raise AnalysisKilledError("the supervisor process of the analysis does not answer") from error
        except BaseException:
            await finish_despite_cancellation(supervisor.shut_down())
            raise
        if self._zygote is not None and len(self._idle) < MAX_IDLE_SUPERVISORS:
            self._idle.append(supervisor)
        else:
            supervisor.close()
        return result, report

    def _spawn(self, request: SpawnRequest) -> tuple[SupervisorClient, socket.socket]:
        """Start a child under an idle supervisor, or under a new one; return the supervisor and the child's channel."""
        while self._idle:
            supervisor = self._idle.pop()
            try:
                return supervisor, supervisor.spawn(request)
            except OSError:  # it was killed while it was idle
                supervisor.close()
        assert self._zygote is not None  # nosec B101 # noqa: S101 - start() has set it
        try:
            supervisor = SupervisorClient.for_new_supervisor(self._zygote.control)
            try:
                return supervisor, supervisor.spawn(request)
            except OSError:
                supervisor.close()
                raise
        except OSError as error:
            raise AnalysisKilledError("the zygote process ended unexpectedly; the next analysis restarts it") from error

    def _close_idle_supervisors(self) -> None:
        while self._idle:
            self._idle.pop().close()


async def _receive_guarantees(control: socket.socket) -> tuple[Guarantee, ...]:
    """Wait for the zygote's first message."""
    length, _ = HEADER.unpack(await _receive_exactly(control, HEADER.size))
    return tuple(Guarantee(**each) for each in loads(await _receive_exactly(control, length)))


async def _receive_exactly(control: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        chunk = await asyncio.get_running_loop().sock_recv(control, count - len(received))
        if not chunk:
            raise AnalysisKilledError("the zygote process ended at its start; its error output says why")
        received += chunk
    return received


def _explain(report: ExitReport, request: SpawnRequest) -> str:
    """Say in one line why there is no result, with the limit that was exceeded and the setting that raises it."""
    limits, code = request.limits, report.exit_code
    exceeded = {
        DEADLINE_EXCEEDED: f"took longer than {request.deadline:g} s (ARQ_JOB_TIMEOUT)",
        "tasks": f"started more than {limits.tasks} processes and threads",
        "memory": f"used more than {limits.total_memory_bytes >> 20} MB of memory in all (ANALYSIS_MEMORY_MB)",
        "sockets": f"opened more than {limits.sockets} sockets",
        "disk": f"wrote more than {limits.disk_bytes >> 20} MB or {limits.disk_entries} files (MAX_CLONE_MB)",
    }
    if report.reason in exceeded:
        return f"the analysis {exceeded[report.reason]}"
    if code >= 0:
        return f"the analysis process ended with exit code {code} and without a result"
    if code == -signal.SIGKILL:
        return "the analysis process was killed, most likely for lack of memory (ANALYSIS_MEMORY_MB)"
    if code == -signal.SIGXCPU:
        return f"the analysis process used more than {limits.cpu_seconds} s of CPU time (ARQ_JOB_TIMEOUT)"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"the analysis process crashed ({name})"
